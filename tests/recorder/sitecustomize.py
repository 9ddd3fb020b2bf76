"""Python loads this file at its start where its folder is on PYTHONPATH: it records to whom this process speaks.

One line of JSON in the file `RECORD_CONNECTIONS` for each: process, event, kind of socket, address.
"""

import json
import os
import sys

LOG = os.open(os.environ["RECORD_CONNECTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ASKED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")  # a name server would be asked
SENT = ("socket.connect", "socket.sendto", "socket.sendmsg")


def record(event, arguments):
    if event in ASKED:
        kind, address = "name", arguments[0]
    elif event in SENT:
        kind, address = arguments[0].family.name, arguments[1]
    else:
        return
    os.write(LOG, (json.dumps([os.getpid(), event, kind, address], default=str) + "\n").encode())


sys.addaudithook(record)
