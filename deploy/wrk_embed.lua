-- wrk -t2 -c16 -d30s --latency -s deploy/wrk_embed.lua http://localhost:8501
wrk.method = "POST"
wrk.path = "/v1/models/t5:predict"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"signature_name": "embed", "instances": ["a fine film"]}'
