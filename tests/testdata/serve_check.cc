// Loads a SavedModel with TensorFlow's C++ loader, the one in TF Serving, and
// replays the requests of a TFRecord file of PredictionLogs that Python has
// turned into plain text for it: no proto of TF Serving is needed here.
//
//   serve_check MODEL_DIR TOKENIZER_OPS.so < requests
//
// Requests on standard input, one a line: SIGNATURE INPUT HEX HEX ...
// ("-" is the empty text). Answers on standard output, one a line:
// SIGNATURE OUTPUT DTYPE ROWS VALUE VALUE ... (texts in hex, "-" if empty).

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session_options.h"

namespace {

using tensorflow::Tensor;
using tensorflow::tstring;

std::string FromHex(const std::string& hex) {
  std::string text;
  if (hex == "-") return text;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    text.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return text;
}

std::string ToHex(const std::string& text) {
  static const char kDigits[] = "0123456789abcdef";
  if (text.empty()) return "-";
  std::string hex;
  for (unsigned char c : text) {
    hex.push_back(kDigits[c >> 4]);
    hex.push_back(kDigits[c & 15]);
  }
  return hex;
}

void Print(const std::string& signature, const std::string& name,
           const Tensor& value) {
  std::cout << signature << ' ' << name << ' ' << value.dtype() << ' '
            << value.dim_size(0);
  for (int64_t i = 0; i < value.NumElements(); ++i) {
    std::cout << ' ';
    switch (value.dtype()) {
      case tensorflow::DT_FLOAT: std::cout << value.flat<float>()(i); break;
      case tensorflow::DT_INT32: std::cout << value.flat<int32_t>()(i); break;
      case tensorflow::DT_BOOL: std::cout << value.flat<bool>()(i); break;
      case tensorflow::DT_STRING:
        std::cout << ToHex(value.flat<tstring>()(i));
        break;
      default: std::cout << '?';
    }
  }
  std::cout << '\n';
}

int Fail(const std::string& what, const std::string& why) {
  std::cerr << what << ": " << why.substr(0, 500) << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return Fail("usage", "serve_check MODEL_DIR OPS.so");
  TF_Status* status = TF_NewStatus();
  TF_LoadLibrary(argv[2], status);
  if (TF_GetCode(status) != TF_OK) return Fail(argv[2], TF_Message(status));
  TF_DeleteStatus(status);

  tensorflow::SavedModelBundle bundle;
  auto loaded = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
      {"serve"}, &bundle);
  if (!loaded.ok()) return Fail("load", loaded.ToString());

  std::cout.precision(9);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string signature, input, word;
    words >> signature >> input;
    std::vector<std::string> texts;
    while (words >> word) texts.push_back(FromHex(word));
    const auto& definition = bundle.GetSignatures().at(signature);
    Tensor value(tensorflow::DT_STRING,
                 tensorflow::TensorShape({static_cast<int64_t>(texts.size())}));
    for (size_t i = 0; i < texts.size(); ++i) {
      value.vec<tstring>()(i) = texts[i];
    }
    std::vector<std::string> names, fetches;
    for (const auto& output : definition.outputs()) {
      names.push_back(output.first);
      fetches.push_back(output.second.name());
    }
    std::vector<Tensor> outputs;
    auto ran = bundle.GetSession()->Run(
        {{definition.inputs().at(input).name(), value}}, fetches, {}, &outputs);
    if (!ran.ok()) return Fail(signature, ran.ToString());
    for (size_t i = 0; i < outputs.size(); ++i) {
      Print(signature, names[i], outputs[i]);
    }
  }
  return 0;
}
