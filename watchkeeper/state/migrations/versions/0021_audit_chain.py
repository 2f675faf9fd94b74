"""Each entry of the audit trail gets the digest of itself and of the one before it."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
_COLUMNS = ("id", "at", "actor", "via", "action", "subject", "detail")


def upgrade() -> None:
    op.add_column("audit", sa.Column("digest", sa.String(64), nullable=False, server_default=""))
    audit = sa.table("audit", *(sa.column(name) for name in (*_COLUMNS, "digest")))
    connection = op.get_bind()
    rows = connection.execute(sa.select(*(audit.c[name] for name in _COLUMNS)).order_by(audit.c.id)).all()
    before = "0" * 64
    for row in rows:
        before = hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()
        connection.execute(sa.update(audit).where(audit.c.id == row.id).values(digest=before))


def downgrade() -> None:
    with op.batch_alter_table("audit") as table:
        table.drop_column("digest")
