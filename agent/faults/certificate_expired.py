"""The fault `certificate_expired`."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults import routed
from agent.proxy.certificate import expired
from agent.proxy.control import reached_at

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

WITHIN_S: Final = 2.0


class CertificateExpired(routed.Routed):
    """The proxy answers TLS handshakes with a certificate that expired long ago, and passes on what comes all the same.

    New connections see it; those that are open are closed once they are idle. The service's own certificate and key are
    not touched. `server_name` is the name in the certificate.
    """

    name = "certificate_expired"
    description = "its TLS certificate has expired"
    arguments: Mapping[str, float | str] = MappingProxyType({"server_name": "localhost"})

    def lacks(self, instance: Instance) -> str:
        if instance.settings.get("tls", "").lower() not in {"yes", "true"}:
            return "the agent's file does not say that it speaks TLS; set `tls: yes` where it does"
        if not shutil.which("openssl"):
            return "the command openssl, which makes the certificate, is not installed"
        return routed.lacks(instance)

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        return {
            **routed.plan(instance, seconds, {"kind": "certificate"}),
            "server_name": str(arguments["server_name"]),
        }

    def begin(self, record: Record) -> None:
        # The key is made now and goes to the proxy alone: nothing of it is on the disk.
        routed.set_rule(record, {**record["rule"], "pem": expired(record["server_name"])})

    def effect(self, record: Record) -> str:
        """What a caller sees who trusts whoever signed the certificate, and looks at its dates."""
        try:
            address = (reached_at(record["port"]), record["port"])
            signed_by = ssl.get_server_certificate(address, timeout=WITHIN_S)
            context = ssl.create_default_context(cadata=signed_by)
            context.check_hostname = False
            with socket.create_connection(address, WITHIN_S) as plain:
                context.wrap_socket(plain).close()
        except ssl.SSLCertVerificationError as error:
            return f"a caller of {record['service']} is told: {error.verify_message}" if routed.holds(record) else ""
        except OSError:
            pass
        return ""
