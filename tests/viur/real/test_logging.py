"""Importing ViUR takes logging over; adjourn's own lines survive it in their structure."""

import json
import logging


def test_the_functions_write_events_as_json_though_viur_replaced_all_handlers(
    adjourn_world, printed
):
    assert not [each for each in logging.getLogger().handlers if "Json" in str(each.formatter)]
    adjourn_world.run(lambda: adjourn_world.module("importer").import_broken("logged"))

    def found():
        for line in printed.lines:
            name, _, text = line.partition(" ")
            is_wanted = '"event": "task.dead"' in text and "import_broken" in text
            if name == "deferred" and is_wanted:
                return json.loads(text)
        return None

    with printed.grown:
        event = printed.grown.wait_for(found, timeout=30)

    assert event["severity"] == "ERROR"
    assert event["task"].startswith("moved.importer.import_broken")
    assert {"logger", "task_id", "attempt"} <= event.keys()
