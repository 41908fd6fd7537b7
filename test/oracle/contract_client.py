import requests
import json

# API base URL
BASE_URL = "http://localhost:8000"

# 1. Check health
response = requests.get(f"{BASE_URL}/v1/health")
print("Health:", response.json())

# 2. Get model info
response = requests.get(f"{BASE_URL}/v1/model/info")
print("Model:", response.json()["model_name"])

# 3. Generate text
response = requests.post(
    f"{BASE_URL}/v1/generate",
    json={
        "prompt": "Resonant neural networks use phase dynamics to",
        "max_tokens": 100,
        "temperature": 0.8,
        "return_phase_metrics": True
    }
)
result = response.json()
print("Generated:", result["text"])
print("Coherence:", result["phase_metrics"]["phase_coherence"])

# 4. Retrieve pattern
response = requests.post(
    f"{BASE_URL}/v1/retrieve",
    json={
        "context": "Long context... The answer is 42 ...more text...",
        "needle": "answer is 42",
        "retrieval_mode": "pvm",
        "top_k": 3
    }
)
result = response.json()
print("Top match:", result["matches"][0]["text"])
