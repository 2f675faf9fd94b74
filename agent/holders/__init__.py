"""Processes that hold a fault: what they do is over when they are, however they end.

Each is started by a fault as `python -I -m agent.holders.NAME MARK`, with what it needs as JSON on its input. It ends
by itself after its seconds, and when the process that started it is gone. The mark is a word that no other process has
in its command line: with it, whoever has the record finds the process, even if its starter was killed before it could
note the process's number.
"""
