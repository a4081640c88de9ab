//! Spelling field names as an old application wants them, in a head that is ready to be sent.
//!
//! Names are overwritten where they stand: both spellings differ in case only (HAProxy manual 3.1 `h1-case-adjust`).

use crate::model::http::HeaderCase;

/// Takes a whole head, its first line and the empty one at its end included.
pub(crate) fn respell(head: &mut [u8], case: &HeaderCase) {
    let mut start = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    while let Some(line) = head.get_mut(start..) {
        let Some(end) = memchr::memchr(b'\n', line) else { break };
        let colon = memchr::memchr(b':', line).filter(|colon| *colon < end);
        if let Some(name) = colon.and_then(|colon| line.get_mut(..colon))
            && let Some(spelling) = case.spelling(name)
            && spelling.len() == name.len()
        {
            name.copy_from_slice(spelling);
        }
        start += end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_respelled() {
        let mut case = HeaderCase::default();
        assert!(case.add("host", "HOST") && case.add("x-id", "X-ID") && !case.add("a", "b"));
        let mut head = b"GET /host:x HTTP/1.1\r\nHost: host: x\r\nx-Id:x-id\r\nX-Idea: 1\r\n\r\nhost: body".to_vec();
        let end = head.len() - b"host: body".len();
        respell(&mut head[..end], &case);
        let expected = "GET /host:x HTTP/1.1\r\nHOST: host: x\r\nX-ID:x-id\r\nX-Idea: 1\r\n\r\nhost: body";
        assert_eq!(String::from_utf8_lossy(&head), expected);
    }
}
