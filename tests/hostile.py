"""Names that somebody might send: each tries to be more than a name somewhere."""

from __future__ import annotations

from typing import Final

HOSTILE: Final[dict[str, str]] = {
    "a blank": " ",
    "blanks of all kinds": " \t\u00a0\u2003\u3000",
    "only unseen": "\u200b\u2060\ufeff",
    "NUL": "a\x00b",
    "controls": "a\x01\x07\x08\x0b\x0c\x1b\x7f\x85\x9bb",
    "ANSI": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x9b31m",
    "lines": "a\nb\r\nc\rd\u2028e\u2029f\x0bg",
    "a hundred thousand letters": "a" * 100_000,
    "many words": "word " * 20_000,
    "turned round": "cart\u202e<gpj.exe\u202c\u2066x\u2069\u200f\u061c",
    "zero width": "pay\u200bments\u200d\u200c\ufeff",
    "mention all": "<!channel> <!here> <!everyone> <!subteam^S1>",
    "mention one": "<@U123> <#C123|general>",
    "Slack link": "<http://evil.example|click> <mailto:a@b|c>",
    "Slack signs": "*bold* _italic_ ~struck~ `code` ```block``` > quoted :tada: &lt;!channel&gt;",
    "quoted": "> quoted\n>>> all",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>",
    "HTML end": "</title></textarea></script><!-- -->\"'><svg onload=alert(1)>",
    "Markdown link": "[x](javascript:alert(1)) ![p](http://evil.example/p.png) <http://evil.example>",
    "Markdown heading": "# heading",
    "Markdown list": "- - x",
    "Markdown number": "1. x",
    "Markdown table": "a | b |\n|---|---|\n| c",
    "Markdown signs": "**b** __b__ _i_ `c` ~~s~~ \\ $x$ --- ===",
    "bare address": "http://evil.example/x www.evil.example",
    "reference": "[x]: http://evil.example 'y'",
    "rich": "[red]x[/red] [link=http://evil.example]y[/link] [bold",
    "rich end": "[/]",
    "formula": '=HYPERLINK("http://evil.example")',
    "formula plus": "+1+1",
    "formula minus": "-1+1",
    "formula at": "@SUM(1)",
    "formula tab": "\t=1+1",
    "calendar": "x\r\nBEGIN:VEVENT\r\nSUMMARY:y; , \\ END:VCALENDAR",
    "plot": "%{y} <a href='javascript:alert(1)'>x</a> <br> $x$ &lt;b&gt;",
    "path": "../../etc/passwd?x=1#y",
    "format": "{service} {0} %s %(x)s ${x}",
    "SQL": "'; DROP TABLE incidents; --",
    "stacked": "e" + "\u0301" * 400,
    "astral": "🦊\U0001f9d1\u200d\U0001f680\U000e0041",
}
SURROGATE: Final = "a\ud800b\udfffc"
EVERY: Final = {**HOSTILE, "half a surrogate pair": SURROGATE}
