"""Decodes Sparkplug B with pysparkplug: one JSON object for each line of `topic payload-in-hexadecimal`.

Strict where the specification is: a metric without a name, a type or a time is an error.
"""
import json
import sys
from unittest import mock

# Its client, which nobody uses here, would want a second MQTT library.
sys.modules.update({name: mock.MagicMock() for name in ("paho", "paho.mqtt", "paho.mqtt.client")})

import pysparkplug
from pysparkplug._protobuf import sparkplug_b_pb2

for line in sys.stdin:
    name, payload = line.split()
    raw = bytes.fromhex(payload)
    topic = pysparkplug.Topic.from_str(name)
    kind = {
        "NBIRTH": pysparkplug.NBirth,
        "NDEATH": pysparkplug.NDeath,
        "NDATA": pysparkplug.NData,
        "DBIRTH": pysparkplug.DBirth,
        "DDATA": pysparkplug.DData,
    }[topic.message_type.value]
    decoded = kind.decode(raw)
    # What the package keeps to itself: the bare message.
    bare = sparkplug_b_pb2.Payload.FromString(raw)
    metrics = getattr(decoded, "metrics", ()) or ()
    print(json.dumps({
        "type": topic.message_type.value,
        "group": topic.group_id,
        "node": topic.edge_node_id,
        "device": topic.device_id,
        "seq": bare.seq if bare.HasField("seq") else None,
        "bd_seq": next((m.long_value for m in bare.metrics if m.name == "bdSeq"), None),
        "metrics": {
            m.name: {"value": m.value, "type": m.datatype.name, "time_ms": m.timestamp,
                     "is_historical": bool(m.is_historical), "is_null": m.value is None}
            for m in metrics if m.name
        },
        "unnamed": sum(1 for m in bare.metrics if not m.name),
    }))
