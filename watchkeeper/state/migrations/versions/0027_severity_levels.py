"""The severity level of each incident, SEV1 to SEV4. Until now there were only pages and tickets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("level", sa.String(8), nullable=False, server_default=""))
    incidents = sa.table("incidents", sa.column("severity"), sa.column("level"))
    by_urgency = sa.case((incidents.c.severity == "page", "SEV3"), else_="SEV4")
    op.get_bind().execute(sa.update(incidents).values(level=by_urgency))


def downgrade() -> None:
    op.drop_column("incidents", "level")
