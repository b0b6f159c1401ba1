//! Guards of monigo around a service of your own, each by itself.
//!
//! `cargo run --example guards`, then `curl -H 'X-API-Key: an example of a key' 127.0.0.1:3001`.

use std::{error::Error, net::SocketAddr, num::NonZeroU32};

use axum::{Router, routing::get};
use monigo::api::{
    Secret,
    guard::{AllowList, ApiKeys, ClientAddress, Guard, RateLimit, SecurityHeaders},
};

/// A service for holders of a key on this host, 5 times a second.
fn service() -> Result<Router, Box<dyn Error>> {
    let keys = ApiKeys::parse(&Secret::new("an example of a key"))?;
    let networks = vec!["127.0.0.0/8".parse()?, "::1/128".parse()?];
    let five = NonZeroU32::new(5).ok_or("five is not zero")?;
    Ok(Router::new()
        .route("/", get(async || "welcome\n"))
        // What is added later is asked earlier.
        .layer(Guard::new(keys))
        .layer(Guard::new(RateLimit::per_second(five, five)))
        .layer(Guard::new(AllowList::new(networks)))
        .layer(Guard::new(ClientAddress::default()))
        .layer(SecurityHeaders::default()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    let service = service()?.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::ConnectInfo, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(from: &str, key: &str) -> u16 {
        let peer: SocketAddr = from.parse().unwrap();
        let request = Request::get("/")
            .extension(ConnectInfo(peer))
            .header("x-api-key", key)
            .body(Body::empty())
            .unwrap();
        let answer = service().unwrap().oneshot(request).await.unwrap();
        answer.status().as_u16()
    }

    #[tokio::test]
    async fn holders_of_the_key_on_this_host() {
        assert_eq!(ask("127.0.0.1:1", "an example of a key").await, 200);
        assert_eq!(ask("127.0.0.1:1", "another").await, 401);
        assert_eq!(ask("192.0.2.1:1", "an example of a key").await, 403);
    }
}
