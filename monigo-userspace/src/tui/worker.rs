//! Asks the query layer on a thread of its own, because answers may take their time.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use tokio::sync::mpsc as channel;

use super::{
    TuiError,
    state::{Answer, DetailKey, Part, Parts, Question},
};
use crate::{
    query::{QueryError, Selection, Source, TailQuestion, Weight},
    service::Service,
};

/// Most stacks asked for.
const STACKS: u32 = 200;
/// Most slow calls asked for.
const CALLS: u32 = 200;

/// Handle of the thread. It ends after the question in progress when this is dropped.
pub struct Worker {
    questions: mpsc::Sender<Question>,
    answers: channel::UnboundedReceiver<Answer>,
}

impl Worker {
    /// Starts the thread.
    pub fn start(source: Arc<dyn Source>, service: Option<Arc<dyn Service>>) -> io::Result<Self> {
        let (questions, inbox) = mpsc::channel::<Question>();
        let (outbox, answers) = channel::unbounded_channel();
        thread::Builder::new()
            .name("tui-queries".to_owned())
            .spawn(move || {
                while let Ok(question) = inbox.recv() {
                    let service = service.as_deref();
                    if !respond(source.as_ref(), service, &question, |it| {
                        outbox.send(it).is_ok()
                    }) {
                        break;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// Sends a question.
    pub fn ask(&self, question: Question) -> Result<(), TuiError> {
        self.questions
            .send(question)
            .map_err(|_| TuiError::WorkerStopped)
    }

    /// Waits for the next piece of an answer.
    pub async fn answer(&mut self) -> Result<Answer, TuiError> {
        self.answers.recv().await.ok_or(TuiError::WorkerStopped)
    }
}

type Ask<'a> = &'a dyn Fn() -> Result<Part, QueryError>;

/// Asks every part of `question` and hands each answer to `send`, which tells whether anybody
/// still listens.
fn respond(
    source: &dyn Source,
    service: Option<&dyn Service>,
    question: &Question,
    mut send: impl FnMut(Answer) -> bool,
) -> bool {
    // While the picture stands still, so do these.
    if question.parts.has(Parts::TABLE)
        && question.window.to_ns.is_none()
        && let Some(Ok(metrics)) = service.map(Service::metrics)
        && !send(Answer::Metrics(Box::new(metrics)))
    {
        return false;
    }
    let mut failed = false;
    let mut deliver = |answer: Result<Answer, QueryError>| match answer {
        Ok(answer) => send(answer),
        Err(error) => {
            failed = true;
            send(Answer::Failed(error.to_string()))
        }
    };
    let Question {
        parts,
        window,
        span,
        ..
    } = *question;
    if parts.has(Parts::TABLE)
        && !(deliver(source.overview().map(Answer::of_session))
            && deliver(
                source
                    .functions(window)
                    .map(|rows| Answer::Functions { span, rows }),
            )
            && deliver(
                source
                    .breakdown(window)
                    .map(|rows| Answer::Breakdown { span, rows }),
            ))
    {
        return false;
    }
    if let Some(function) = question.function
        && !detail(source, question, function, &mut deliver)
    {
        return false;
    }
    if parts.has(Parts::STACK)
        && let Some(id) = question.stack
        && !deliver(source.stack(id).map(|frames| Answer::Stack { id, frames }))
    {
        return false;
    }
    if parts.has(Parts::STORY)
        && let Some(key) = question.story
        && !deliver(source.story(key).map(|story| Answer::Story {
            key,
            story: Box::new(story),
        }))
    {
        return false;
    }
    send(Answer::Done {
        serial: question.serial,
        failed,
    })
}

/// The part of [`respond`] that is about one function.
fn detail(
    source: &dyn Source,
    question: &Question,
    function: u32,
    deliver: &mut impl FnMut(Result<Answer, QueryError>) -> bool,
) -> bool {
    let Question { parts, window, .. } = *question;
    let key = DetailKey {
        function,
        span: question.span,
        unit: question.unit,
        root: question.root,
    };
    let one = Some(function);
    let asks: [(Parts, Ask<'_>); 6] = [
        (Parts::HISTOGRAM, &|| {
            source.histogram(function, window).map(Part::Histogram)
        }),
        (Parts::SERIES, &|| {
            let points = question.points;
            source.series(one, window, points).map(Part::Series)
        }),
        (Parts::STACKS, &|| {
            let selection = Selection::of(one, window, question.unit.weight());
            source.stacks(&selection, STACKS).map(Part::Stacks)
        }),
        (Parts::CALLS, &|| {
            let selection = Selection::of(one, window, Weight::Wall);
            source.slowest(&selection, CALLS).map(Part::Calls)
        }),
        (Parts::FLAME, &|| {
            let mut selection = Selection::of(one, window, question.unit.weight());
            selection.root = question.root;
            source.flame(&selection).map(Part::Flame)
        }),
        (Parts::TAIL, &|| {
            let question = TailQuestion {
                function,
                window,
                ..Default::default()
            };
            source
                .tail(&question)
                .map(|tail| Part::Tail(Box::new(tail)))
        }),
    ];
    for (_, ask) in asks.iter().filter(|(wanted, _)| parts.has(*wanted)) {
        if !deliver(ask().map(|part| Answer::Part { key, part })) {
            return false;
        }
    }
    true
}
