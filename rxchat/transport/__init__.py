"""Request → stream of bytes: the only room that knows aiohttp.

Strategy. One shared session per event loop, opened by the first request and closed by itself;
one slot per open stream; reads as the bytes come, never by lines. Whatever goes wrong becomes an
error of ours that names the host and nothing else: aiohttp's own errors carry addresses and
headers, and so keys; they are neither chained nor shown.
"""

from rxchat.transport.pool import Connections, connections
from rxchat.transport.sending import exchange

__all__ = ["Connections", "connections", "exchange"]
