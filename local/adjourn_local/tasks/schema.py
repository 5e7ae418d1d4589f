"""The SQL schema of the Cloud Tasks server, and the statements that change tasks."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks_queues (
    name TEXT PRIMARY KEY,
    queue BLOB NOT NULL,
    deleted INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks_tasks (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    task_id TEXT NOT NULL,
    due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    gone INTEGER,
    executions INTEGER NOT NULL DEFAULT 0,
    previous INTEGER NOT NULL DEFAULT 0,
    task BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS tasks_by_name ON tasks_tasks (task_id, queue);
CREATE INDEX IF NOT EXISTS tasks_by_due ON tasks_tasks (queue, due) WHERE gone IS NULL;
CREATE INDEX IF NOT EXISTS tasks_by_end ON tasks_tasks (gone) WHERE gone IS NOT NULL;
CREATE TABLE IF NOT EXISTS tasks_operations (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    operation BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks_policies (
    queue TEXT PRIMARY KEY,
    policy BLOB NOT NULL
) WITHOUT ROWID;
"""
# A new task replaces the row of a finished one whose name is free again.
INSERT = (
    "INSERT OR REPLACE INTO tasks_tasks (id, queue, task_id, due, created, task)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
UPDATE = (
    "UPDATE tasks_tasks SET due = ?, executions = ?, previous = ?, task = ?"
    " WHERE id = ? AND gone IS NULL"
)
END = "UPDATE tasks_tasks SET gone = ?, task = x'' WHERE id = ? AND gone IS NULL"
# An earlier process may have died while it deleted a large queue.
REPAIR = (
    "UPDATE tasks_tasks SET gone = created, task = x'' WHERE gone IS NULL AND queue NOT IN"
    " (SELECT name FROM tasks_queues WHERE deleted IS NULL)"
)
