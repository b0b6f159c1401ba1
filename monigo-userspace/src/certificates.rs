//! What to do about a server's certificate that is refused: rustls says only what is wrong with it.

/// An error of a connection, with what to do about it where that is known.
pub fn with_hint(error: &str) -> String {
    let hints = [
        (
            "CaUsedAsEndEntity",
            "the server's certificate is one for an authority (CA:TRUE, as `openssl req -x509` makes it), which may not be a server's: \
             make it anew with -addext basicConstraints=critical,CA:FALSE, on the server and in ca_file",
        ),
        (
            "UnknownIssuer",
            "if the server's certificate is of an authority of your own, or signed by itself, name that certificate in ca_file",
        ),
    ];
    let known = hints.iter().find(|(sign, _)| error.contains(sign));
    known.map_or_else(|| error.to_owned(), |(_, hint)| format!("{error}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_are_known_get_a_hint() {
        let refused = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
        let told = with_hint(refused);
        assert!(
            told.starts_with(refused) && told.contains("CA:FALSE"),
            "{told}"
        );
        assert!(with_hint("invalid peer certificate: UnknownIssuer").contains("ca_file"));
        assert_eq!(with_hint("connection refused"), "connection refused");
    }
}
