"""OTLP JSON lines, as the Collector's file exporter writes them."""

from __future__ import annotations

import base64
import json

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest


def otlp_json(request: ExportLogsServiceRequest) -> str:
    """
    One request in OTLP's JSON: protobuf's own, but for ids, which are hex, and enums, which are numbers.
    """
    told = json_format.MessageToDict(request, use_integers_for_enums=True)
    for by_resource in told.get("resourceLogs", ()):
        for by_scope in by_resource.get("scopeLogs", ()):
            for record in by_scope.get("logRecords", ()):
                for key in ("traceId", "spanId"):
                    if key in record:
                        record[key] = base64.b64decode(record[key]).hex()
    return json.dumps(told, separators=(",", ":"))
