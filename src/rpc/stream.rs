//! A connection as the conversation sees it: bytes in, bytes out, whatever is below.

use smol::io::{AsyncRead, AsyncWrite};

/// What can be served. Behind a pointer, so that the conversation exists once for
/// all kinds of connections.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
