"""Pages as lines of a file, from which another program reads them on."""

from contextlib import contextmanager
from pathlib import Path

from alerting.channels.channel import ChannelPart, Thread, Trial
from watchkeeper.errors import DeliveryError
from watchkeeper.text import one_line


class PageFile:
    """Pages as lines of a file. Setting: `path`."""

    def __init__(self, path):
        self.path = Path(path)

    def send(self, message):
        return self.write(message.key, message.mention, f"{message.incident.title} ({message.text})")

    def send_digest(self, digest):
        return self.write(digest.part, digest.mention, f"{len(digest.incidents)} incidents ({digest.text})")

    def send_test(self, address, text):
        return self.write("test", address, text)

    def unreachable(self, mention): ...

    def write(self, key, mention, text):
        try:
            with self.path.open("a+") as file:
                file.seek(0)
                if key == "test" or not any(line.startswith(f"{key}\t") for line in file):
                    file.write(f"{key}\t{one_line(mention)}\t{one_line(text)}\n")
        except OSError as error:
            raise DeliveryError(f"{self.path} cannot be written: {error.strerror}", retry=True) from error
        return Thread(conversation=str(self.path), ts=key)


@contextmanager
def trial(folder):
    @contextmanager
    def away():
        path.parent.rename(folder / "away")
        yield
        (folder / "away").rename(path.parent)

    (path := folder / "share" / "pages").parent.mkdir()
    path.touch()
    yield Trial(open=lambda: PageFile(path), address="Ana", shown=lambda: path.read_text().splitlines(), away=away)


PAGE_FILE = ChannelPart(
    open=lambda context: PageFile(context.settings["path"]), trial=trial, described_by=PageFile, shows_updates=False
)
