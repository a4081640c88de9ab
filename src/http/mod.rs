//! HTTP/1 messages: parsing, framing, rewriting. Pure: bytes in, bytes out.
