curl http://localhost:8000/v1/health

curl http://localhost:8000/v1/model/info

curl -X POST http://localhost:8000/v1/generate \
  -H "Content-Type: application/json" \
  -d '{
    "prompt": "The theory of resonant neural networks",
    "max_tokens": 50,
    "temperature": 0.7,
    "return_phase_metrics": true
  }'

curl -X POST http://localhost:8000/v1/retrieve \
  -H "Content-Type: application/json" \
  -d '{
    "context": "Random text... The key insight is resonance... More text...",
    "needle": "key insight",
    "retrieval_mode": "pvm",
    "top_k": 3
  }'
