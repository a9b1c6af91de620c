"""The operator's log: one line an event, as JSON for machines or as text for people."""

import json
import logging
from datetime import UTC, datetime
from typing import Literal

from headstay.runtime.controller import ReconcileFilter

Format = Literal["json", "text"]


def set_up_logs(form: Format, level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if form == "json" else logging.Formatter(_TEXT))
    handler.addFilter(ReconcileFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


_TEXT = "%(asctime)s %(levelname)-7s %(message)s"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if reconcile_id := getattr(record, "reconcile_id", ""):
            line["reconcileID"] = reconcile_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
