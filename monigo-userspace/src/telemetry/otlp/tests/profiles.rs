//! What a receiver decodes of profiles weighs as much as the recording's flame graphs.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::profiles::v1development::{
        ExportProfilesServiceRequest, ExportProfilesServiceResponse,
        profiles_service_server::{ProfilesService, ProfilesServiceServer},
    },
    profiles::v1development::{Mapping, ProfilesDictionary, Sample},
};

use super::*;
use crate::{
    query::{FlameNode, Selection, Weight, Window},
    store::{Batch, Store as _},
};

#[tonic::async_trait]
impl ProfilesService for Received {
    async fn export(
        &self,
        request: Request<ExportProfilesServiceRequest>,
    ) -> Result<Response<ExportProfilesServiceResponse>, Status> {
        let mut got = self.0.lock().expect("sound");
        got.profiles.push(request.into_inner());
        Ok(Response::new(ExportProfilesServiceResponse::default()))
    }
}

impl Received {
    pub(super) fn profiles_server(&self) -> ProfilesServiceServer<Self> {
        ProfilesServiceServer::new(self.clone())
    }
}

/// Weights by stack, outermost function first.
type Weights = BTreeMap<Vec<String>, i64>;

/// What a sample's stack is called, innermost first in the format.
fn names(dictionary: &ProfilesDictionary, sample: &Sample) -> Vec<String> {
    let stack = &dictionary.stack_table[sample.stack_index as usize];
    let mut names = Vec::new();
    for &location in stack.location_indices.iter().rev() {
        let location = &dictionary.location_table[location as usize];
        let mapping = &dictionary.mapping_table[location.mapping_index as usize];
        let image = &dictionary.string_table[mapping.filename_strindex as usize];
        assert_eq!(image, "/srv/orders");
        assert!(location.address > 0x48_0000);
        let [attribute] = &location.attribute_indices[..] else {
            panic!("no type of frame")
        };
        let attribute = &dictionary.attribute_table[*attribute as usize];
        let key = &dictionary.string_table[attribute.key_strindex as usize];
        let go = any_value::Value::StringValue("go".to_owned());
        assert_eq!(
            (key.as_str(), &attribute.value),
            ("profile.frame.type", &Some(AnyValue { value: Some(go) }))
        );
        for line in location.lines.iter().rev() {
            assert!(line.line > 0);
            let function = &dictionary.function_table[line.function_index as usize];
            let file = &dictionary.string_table[function.filename_strindex as usize];
            assert_eq!(file, "/src/main.go");
            names.push(dictionary.string_table[function.name_strindex as usize].clone());
        }
    }
    names
}

/// By type of sample, with its unit.
fn decoded(requests: &[ExportProfilesServiceRequest]) -> BTreeMap<(String, String), Weights> {
    let mut found: BTreeMap<_, Weights> = BTreeMap::new();
    for request in requests {
        let dictionary = request.dictionary.as_ref().expect("a dictionary");
        // The first of each table says nothing.
        assert_eq!(dictionary.string_table[0], "");
        assert_eq!(dictionary.mapping_table[0], Mapping::default());
        assert!(dictionary.stack_table[0].location_indices.is_empty());
        assert!(dictionary.location_table[0].lines.is_empty());
        assert_eq!(dictionary.link_table.len(), 1);
        let of_resource = &request.resource_profiles[0];
        let attributes = &of_resource.resource.as_ref().expect("resource").attributes;
        assert!(attributes.contains(&text("service.name", "orders")));
        for profile in &of_resource.scope_profiles[0].profiles {
            assert_eq!(profile.profile_id.len(), 16);
            assert_eq!(profile.time_unix_nano, fixture::START as u64);
            assert_eq!(profile.duration_nano, 3 * fixture::SECOND as u64);
            let kind = profile.sample_type.as_ref().expect("a type");
            let of = |index: i32| dictionary.string_table[index as usize].clone();
            let key = (of(kind.type_strindex), of(kind.unit_strindex));
            let weights = found.entry(key).or_default();
            for sample in &profile.samples {
                let [value] = sample.values[..] else {
                    panic!("{sample:?}")
                };
                *weights.entry(names(dictionary, sample)).or_default() += value;
            }
        }
    }
    found
}

/// What ends where in a flame graph.
fn flattened(node: &FlameNode, above: &[String], into: &mut Weights) {
    let inner: u64 = node.children.iter().map(|child| child.value).sum();
    if node.value > inner && !above.is_empty() {
        into.insert(above.to_vec(), (node.value - inner) as i64);
    }
    // Samples without a stack have no profile.
    let known = node.children.iter().filter(|of| of.name != "[no stack]");
    for child in known {
        let mut path = above.to_vec();
        path.push(child.name.clone());
        flattened(child, &path, into);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_weigh_as_much_as_flame_graphs() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let received = Received::default();
        let (listener, address) = listener("127.0.0.1:0").await;
        let server = match protocol {
            OtlpProtocol::Grpc => received.grpc(listener),
            OtlpProtocol::Http => received.http(listener),
        };
        let mut settings = settings(format!("http://{address}/otel"), protocol);
        settings.profiles = true;
        if protocol == OtlpProtocol::Grpc {
            settings.endpoint = Some(format!("http://{address}"));
        }
        let (database, exporter) = export(&settings);
        // All of them are in the first request.
        let came = || !received.0.lock().expect("sound").profiles.is_empty();
        until(&exporter, |_| came()).await;
        exporter.shutdown().await;
        let found = decoded(&received.0.lock().expect("sound").profiles);
        let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
        let expected = [
            (Weight::Wall, "wall", "nanoseconds"),
            (Weight::Cpu, "cpu", "nanoseconds"),
            (Weight::OffCpu, "off_cpu", "nanoseconds"),
            (Weight::Calls, "calls", "count"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (weight, name, unit) in expected {
            let selection = Selection::of(None, Window::default(), weight);
            let mut weights = Weights::new();
            flattened(&source.flame(&selection).expect("flame"), &[], &mut weights);
            assert!(!weights.is_empty());
            let key = (name.to_owned(), unit.to_owned());
            assert_eq!(found.get(&key), Some(&weights), "{protocol:?} {name}");
        }
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_sent_only_when_asked_for() {
    let received = Received::default();
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = received.grpc(listener);
    let (_database, exporter) = export(&settings(format!("http://{address}"), OtlpProtocol::Grpc));
    until(&exporter, |status| status.sent > 3).await;
    exporter.shutdown().await;
    assert!(received.0.lock().expect("sound").profiles.is_empty());
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_without_profiles_gets_the_rest() {
    let received = Received::default();
    received.0.lock().expect("sound").refuse_profiles = true;
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = received.http(listener);
    let mut settings = settings(format!("http://{address}/otel"), OtlpProtocol::Http);
    settings.profiles = true;
    let (mut database, exporter) = export(&settings);
    let refused = |status: &ExporterStatus| {
        let why = status.last_error.as_deref();
        why.is_some_and(|why| why.contains("404"))
    };
    until(&exporter, refused).await;
    let at_ns = fixture::START + 10 * fixture::SECOND;
    let later = Batch {
        at_ns,
        calls: vec![fixture::call(at_ns - 10, 5, 1, Some(2))],
        ..Batch::default()
    };
    database.append(1, &later).expect("appends");
    let spans = || received.0.lock().expect("sound").spans.len();
    until(&exporter, |status| {
        spans() > 1 && status.state == ExporterState::Ok
    })
    .await;
    exporter.shutdown().await;
    assert_eq!(received.0.lock().expect("sound").profiles.len(), 1);
    server.abort();
}
