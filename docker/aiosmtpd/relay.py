"""A relay in a page of Python: aiosmtpd in front, a directory of files as its queue, smtplib behind.

It is in the target list because it is wrong in a way that many home-made relays are: it writes each message to a file
before it answers 250, so that it survives being killed, but it never calls fsync, so that a host that loses power takes
acknowledged mail with it. `gauntlet run tc-02-power-lost-at-ack --on container --target aiosmtpd` shows it.
"""

import asyncio
import json
import os
import pathlib
import smtplib
import sys
import time
import uuid

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

SPOOL = pathlib.Path("/var/spool/relay")
SMART_HOST = os.environ["SMART_HOST"]
SMART_PORT = int(os.environ["SMART_PORT"])
RETRY_SECONDS = 1


class Spooler:
    async def handle_DATA(self, server, session, envelope):
        name = f"{time.time_ns()}-{uuid.uuid4().hex}"
        received = (
            f"Received: from {session.host_name} ({session.peer[0]}) by mta.example with ESMTP id {name}; "
            f"{time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}\r\n"
        )
        head = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "options": envelope.mail_options}
        new = SPOOL / f"{name}.new"
        with open(new, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(received.encode() + envelope.original_content)
            # Here a mail transfer agent would call os.fsync(file.fileno()), and again on the directory after the rename.
        new.rename(SPOOL / f"{name}.msg")
        print(f"{name}: queued from <{envelope.mail_from}> for {envelope.rcpt_tos}")
        return f"250 2.0.0 queued as {name}"


def deliver(path):
    """Hands a message over; leaves for later whom the next hop deferred."""
    head, content = path.read_bytes().split(b"\n", 1)
    head = json.loads(head)
    options = [option for option in head["options"] if option.upper().startswith("BODY=")]
    left = head["to"]
    try:
        with smtplib.SMTP(SMART_HOST, SMART_PORT, local_hostname="mta.example", timeout=20) as client:
            refused = client.sendmail(head["from"], head["to"], content, mail_options=options)
            left = [to for to, (code, _) in refused.items() if code < 500]
    except smtplib.SMTPRecipientsRefused as error:
        left = [to for to, (code, _) in error.recipients.items() if code < 500]
    except smtplib.SMTPResponseException as error:
        left = head["to"] if error.smtp_code < 500 else []
        print(f"{path.stem}: {error}")
    except (OSError, smtplib.SMTPException) as error:
        print(f"{path.stem}: {error}")
    if not left:
        path.unlink(missing_ok=True)
        print(f"{path.stem}: done")
    elif left != head["to"]:
        head["to"] = left
        new = path.with_suffix(".new")
        new.write_bytes(json.dumps(head).encode() + b"\n" + content)
        new.rename(path)


async def run_queue():
    while True:
        for path in sorted(SPOOL.glob("*.msg")):
            try:
                await asyncio.to_thread(deliver, path)
            except Exception as error:  # a message that cannot be read must not stop the others
                print(f"{path.stem}: {error!r}", file=sys.stderr)
        await asyncio.sleep(RETRY_SECONDS)


class Relay(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="mta.example", enable_SMTPUTF8=True, data_size_limit=52428800)


if __name__ == "__main__":
    Relay(Spooler(), hostname="0.0.0.0", port=25).start()
    asyncio.run(run_queue())
