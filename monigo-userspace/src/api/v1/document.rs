//! The `OpenAPI` document.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use utoipa::{
    OpenApi,
    openapi::{
        Content, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Type,
        path::{Operation, ParameterBuilder, ParameterIn},
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

use super::profile::Kind;
use crate::api::{
    Common,
    error::{ApiError, ErrorBody},
    params::Params,
};

/// Ways to authenticate that this server takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schemes {
    /// HTTP Basic.
    pub basic: bool,
    /// `X-API-Key`.
    pub api_key: bool,
    /// `Authorization: Bearer`.
    pub token: bool,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "monigo",
        description = "Calls, latency, resources and health of a service that monigo watches from outside. \
            Times are RFC 3339 in UTC. Errors are JSON: a stable code and a sentence.",
    ),
    tags(
        (name = "service", description = "The service and its host, now"),
        (name = "reports", description = "Figures over time"),
        (name = "functions", description = "Traced functions"),
        (name = "server", description = "This server"),
    ),
    components(schemas(ErrorBody, Kind)),
)]
pub struct Monigo;

/// The description of this API
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "server",
    responses((status = OK, description = "An OpenAPI document", body = serde_json::Value)),
)]
pub async fn openapi(
    State(common): State<Arc<Common>>,
    params: Params,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, common.document.clone()).into_response())
}

/// Answers that every route may give, and why.
const REFUSALS: [(&str, &str); 8] = [
    (
        "400",
        "A parameter or the body cannot be used; the message names it",
    ),
    ("401", "Authentication is missing or wrong"),
    (
        "403",
        "The address, the Host header or the origin is not allowed",
    ),
    ("408", "The request or its answer took too long"),
    (
        "429",
        "Too many requests, or too many wrong passwords; Retry-After says when to ask again",
    ),
    ("500", "monigo failed; its log says more"),
    ("503", "It is not known here, or monigo is shutting down"),
    ("504", "The database took too long; ask for a shorter range"),
];
/// Those that only a body brings about.
const BODY_REFUSALS: [(&str, &str); 2] = [
    ("413", "The body is too long"),
    ("415", "The body is not declared as JSON"),
];

/// Adds what holds for all routes: refusals, and how to authenticate.
pub fn complete(document: &mut utoipa::openapi::OpenApi, schemes: Schemes) {
    let components = document.components.get_or_insert_default();
    let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
    let header = "X-API-Key";
    for (name, scheme) in [
        ("basic", http(HttpAuthScheme::Basic)),
        ("token", http(HttpAuthScheme::Bearer)),
        (
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header))),
        ),
    ] {
        components.add_security_scheme(name, scheme);
    }
    let wanted = [
        ("basic", schemes.basic),
        ("api_key", schemes.api_key),
        ("token", schemes.token),
    ];
    let requirements: Vec<SecurityRequirement> = wanted
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| SecurityRequirement::new(name, [""; 0]))
        .collect();
    if !requirements.is_empty() {
        document.security = Some(requirements);
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post];
        for operation in operations.into_iter().flatten() {
            if !operation.tags.iter().flatten().any(|tag| tag == "server") {
                add_session(operation);
            }
            add_refusals(operation);
        }
    }
}

/// Everything that is not about the server is about a session.
fn add_session(operation: &mut Operation) {
    let id = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1));
    let parameter = ParameterBuilder::new()
        .name("session")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Id of a session; the latest without"))
        .schema(Some(id))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(parameter));
    let schema = Ref::from_schema_name("ErrorBody");
    let unknown = ResponseBuilder::new()
        .description("There is no such session")
        .content("application/json", Content::new(Some(RefOr::Ref(schema))))
        .build();
    let responses = &mut operation.responses.responses;
    responses
        .entry("404".to_owned())
        .or_insert(RefOr::T(unknown));
}

fn add_refusals(operation: &mut Operation) {
    let with_body = operation.request_body.is_some();
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.required = Some(Required::True);
    }
    let more = BODY_REFUSALS.iter().filter(|_| with_body);
    for (status, why) in REFUSALS.iter().chain(more) {
        let responses = &mut operation.responses.responses;
        responses.entry((*status).to_owned()).or_insert_with(|| {
            let schema = Ref::from_schema_name("ErrorBody");
            let response = ResponseBuilder::new()
                .description(*why)
                .content("application/json", Content::new(Some(RefOr::Ref(schema))))
                .build();
            RefOr::T(response)
        });
    }
}
