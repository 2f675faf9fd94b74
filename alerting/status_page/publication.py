"""The public status page as files: `index.html`, without scripts or anything from elsewhere, and `status.json`."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from alerting.status_page.history import DAYS, PublicComponent, PublicIncident, PublicPage, public_page, since
from alerting.status_page.subscribers import PATH
from alerting.status_page.updates import StatusUpdates
from watchkeeper.config import Config
from watchkeeper.errors import ConfigError
from watchkeeper.text import page_text

_WORDS: Final = {"none": "Operational", "degraded": "Degraded", "outage": "Outage"}
_STYLE: Final = (
    ":root{color-scheme:light dark;--ok:light-dark(#1b6e3c,#6fd195);--degraded:light-dark(#8a5300,#f0b35e);"
    "--outage:light-dark(#b3261e,#ff8a80);--line:light-dark(#d5dbe0,#37424c)}"
    "*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1.5rem 1rem;"
    "overflow-wrap:anywhere;background:light-dark(#fff,#12181d);color:light-dark(#1a2127,#e4eaef)}"
    "h1{margin:0 0 .5rem}h2{margin:2rem 0 .5rem;font-size:1.2rem}h3{margin:0;font-size:1rem}"
    ".all{padding:.8rem 1rem;border:2px solid;border-radius:.5rem;font-weight:600}"
    ".none{color:var(--ok)}.degraded{color:var(--degraded)}.outage{color:var(--outage)}"
    ".component,.incident{padding:.8rem 0;border-bottom:1px solid var(--line)}"
    ".head{display:flex;justify-content:space-between;gap:1rem;flex-wrap:wrap}"
    ".days{display:flex;gap:1px;height:1.6rem;margin-top:.4rem;padding:0;list-style:none}"
    ".days li{flex:1;background:currentColor;min-width:0}.days .none{opacity:.45}"
    ".quiet{opacity:.8;font-size:.9rem}.text{white-space:pre-line;margin:.2rem 0 .8rem}"
)


def publish(updates: StatusUpdates, config: Config, folder: Path, now: datetime) -> PublicPage:
    """Write the page into a folder, each file whole or not at all; other files in it stay.

    Raises:
        ConfigError: the folder cannot be written; says what to do.
    """
    page = public_page(config.status_page, updates.public(since(now)), now)
    offer = _offer(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("status.json", as_json(page)), ("index.html", as_html(page, offer))):
            _replace(folder / name, text)
    except OSError as error:
        raise ConfigError(
            f"the status page cannot be written to {folder}: {error.strerror or error}; check the folder and its owner"
        ) from error
    return page


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)  # the web server that serves it is somebody else
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def as_json(page: PublicPage) -> str:
    """The page for programs."""
    tree: dict[str, Any] = {
        "title": page.title,
        "generated_at": page.at.isoformat(),
        "components": [
            {
                "name": component.name,
                "state": _WORDS[component.now].lower(),
                "days": {str(day): _WORDS[impact].lower() for day, impact in component.days if impact != "none"},
            }
            for component in page.components
        ],
        "incidents": [
            {
                "components": list(incident.components),
                "open": incident.is_open,
                "updates": [
                    {"at": one.at.isoformat(), "state": one.state, "impact": one.impact, "text": one.text}
                    for one in incident.updates
                ],
            }
            for incident in page.incidents
        ],
    }
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def _offer(config: Config) -> str:
    """How somebody gets the updates by e-mail, as HTML; nothing where nobody can.

    A link, and no form: the web role refuses what a page of another site sends to it.
    """
    if config.status_page.subscriptions.channel is None:
        return ""
    if config.web.public_url is None:
        return "<p>These updates also come by e-mail: ask us to subscribe you.</p>"
    url = f"{config.web.public_url.rstrip('/')}{PATH}subscribe"
    return f'<p><a href="{escape(url, quote=True)}">Get these updates by e-mail</a></p>'


def as_html(page: PublicPage, offer: str = "") -> str:
    """The page for people; escaped, in both themes, for any width. `offer` is HTML."""
    worst = max((component.now for component in page.components), key=list(_WORDS).index, default="none")
    open_now = [incident for incident in page.incidents if incident.is_open]
    summary = {
        "none": "All systems are operational" if not open_now else "We are looking into a problem",
        "degraded": "Some systems are degraded",
        "outage": "Some systems are down",
    }[worst]
    over = [incident for incident in page.incidents if not incident.is_open]
    parts = [
        f"<h1>{_h(page.title)}</h1>",
        f'<p class="all {worst}" role="status">{summary}</p>',
        "<h2>Components</h2>",
        *map(_component, page.components),
        *(["<h2>Now</h2>", *map(_incident, open_now)] if open_now else []),
        offer,
        f"<h2>Last {DAYS} days</h2>",
        *(map(_incident, over) if over else ["<p>No incident was reported.</p>"]),
        f'<p class="quiet">Updated {_moment(page.at)}. Days and times are UTC.</p>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="refresh" content="60">'
        f"<title>{_h(page.title)}: {summary}</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def _component(component: PublicComponent) -> str:
    days = "".join(
        f'<li class="{impact}" title="{day}: {_WORDS[impact].lower()}"></li>' for day, impact in component.days
    )
    bad = [f"{day} {_WORDS[impact].lower()}" for day, impact in component.days if impact != "none"]
    words = f"Last {DAYS} days: " + (", ".join(bad) or "operational every day")
    return (
        f'<section class="component"><div class="head"><h3>{_h(component.name)}</h3>'
        f'<strong class="{component.now}">{_WORDS[component.now]}</strong></div>'
        f'<ul class="days" role="img" aria-label="{_h(words)}">{days}</ul></section>'
    )


def _incident(incident: PublicIncident) -> str:
    title = ", ".join(incident.components) or "General"
    updates = "".join(
        f'<p class="text"><strong>{one.state.capitalize()}</strong> '
        f'<span class="quiet">{_moment(one.at)}</span>\n{_h(one.text)}</p>'
        for one in incident.updates
    )
    return f'<section class="incident"><h3>{_h(title)}</h3>{updates}</section>'


def _moment(at: datetime) -> str:
    return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M} UTC</time>'


def _h(text: str) -> str:
    return escape(page_text(text))
