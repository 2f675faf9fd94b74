"""Who owns each object of a rota: the file, or whoever made it through the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    empty = '{"file": "", "others": {}}'
    op.add_column("rota_versions", sa.Column("owners", sa.Text, nullable=False, server_default=empty))


def downgrade() -> None:
    op.drop_column("rota_versions", "owners")
