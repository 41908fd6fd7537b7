"""Reads `/metrics` with Prometheus's own parser: python prometheus_check.py http://localhost:8000

Prints the families as JSON; ends with a traceback where one is missing, or is not what it should be.
"""

from __future__ import annotations

import json
import math
import sys

import requests
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

# The parser removes `_total` from a counter's name.
TYPES = {
    "num_requests_running": "gauge",
    "num_requests_waiting": "gauge",
    "state_bytes": "gauge",
    "gpu_bytes": "gauge",
    "ready": "gauge",
    "http_requests": "counter",
    "http_request_duration_seconds": "histogram",
    "requests_finished": "counter",
    "requests_aborted": "counter",
    "prompt_tokens": "counter",
    "prefix_cache_hits": "counter",
    "generation_tokens": "counter",
    "request_queue_time_seconds": "histogram",
    "time_to_first_token_seconds": "histogram",
    "inter_token_latency_seconds": "histogram",
    "e2e_request_latency_seconds": "histogram",
}


def check_histogram(family: Metric) -> None:
    """Checks that each series' buckets never decrease, and end at +Inf with the count."""
    series: dict[str, list[tuple[float, float]]] = {}
    counts: dict[str, float] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        key = json.dumps(labels, sort_keys=True)
        if sample.name.endswith("_bucket"):
            series.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[key] = sample.value
        else:
            assert sample.name.endswith("_sum") and sample.value >= 0, sample
    assert series.keys() == counts.keys() and series, family.name
    for key, buckets in series.items():
        assert buckets == sorted(buckets) and buckets[-1] == (math.inf, counts[key]), (family.name, key)
        values = [value for _, value in buckets]
        assert values == sorted(values), (family.name, key)


def main(url: str) -> None:
    answer = requests.get(f"{url}/metrics", timeout=30)
    answer.raise_for_status()
    kind = answer.headers["Content-Type"].replace(" ", "")
    assert kind.startswith("text/plain;version=0.0.4"), kind
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    ours = {
        name.removeprefix("resonant_"): family.type
        for name, family in families.items()
        if name.startswith("resonant_")
    }
    assert ours == TYPES, ours
    for family in families.values():
        assert family.documentation, family.name
        if family.type == "histogram" and family.name.startswith("resonant_"):
            check_histogram(family)
    assert families["process_cpu_seconds"].type == "counter"

    # What Prometheus itself sends.
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    answer = requests.get(f"{url}/metrics", headers={"Accept": accept}, timeout=30)
    kind = answer.headers["Content-Type"].replace(" ", "")
    assert kind.startswith("application/openmetrics-text;version=1.0.0"), kind
    opened = {family.name: family.type for family in open_families(answer.text)}
    assert opened == {name: family.type for name, family in families.items()}, opened

    def total(name: str, **labels: str) -> float:
        samples = [s for s in families[f"resonant_{name}"].samples if labels.items() <= s.labels.items()]
        return sum(sample.value for sample in samples if not sample.name.endswith("_created"))

    assert total("ready") == 1 and total("gpu_bytes") > 0
    assert total("num_requests_running") == total("num_requests_waiting") == total("state_bytes") == 0
    # Earlier requests: at least the contract's generation.
    assert total("http_requests", method="POST", route="/v1/generate", status="200") >= 1
    assert total("requests_finished") >= 1
    assert total("prompt_tokens") > 0 and total("generation_tokens") > 0
    print(json.dumps({"families": len(families), "types": ours}))


if __name__ == "__main__":
    main(sys.argv[1])
