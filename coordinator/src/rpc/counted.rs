//! How many calls ended how: a layer around both services. Refuses nothing and changes nothing.
//!
//! The names are bounded: a method that is not there, whoever makes it up, is `unknown`.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tonic::{
    Code,
    codegen::{
        Body, Service,
        http::{HeaderMap, Request, Response},
    },
};
use tower::Layer;

/// Methods that are told apart; the two services have fewer.
const METHODS_MAX: usize = 64;

/// All calls that have ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<Mutex<BTreeMap<(String, &'static str), u64>>>);

impl Ended {
    /// By method and code.
    pub(crate) fn all(&self) -> Vec<(String, &'static str, u64)> {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().map(|((method, code), count)| (method.clone(), *code, *count)).collect()
    }

    fn add(&self, path: &str, code: Code) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let method = path.trim_start_matches('/');
        let is_known = code != Code::Unimplemented && ended.len() < METHODS_MAX * CODES;
        let method = if is_known { method } else { "unknown" };
        *ended.entry((method.to_owned(), name_of(code))).or_default() += 1;
    }
}

/// Wraps the services.
#[derive(Clone, Debug)]
pub(crate) struct Counting(pub(crate) Ended);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Counted<S> {
        Counted { service, ended: self.0.clone() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    service: S,
    ended: Ended,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut call = Call { path: request.uri().path().to_owned(), ended: self.ended.clone(), code: None };
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // An answer without a body says it at once.
            call.code = code_in(answer.headers());
            Ok(answer.map(|body| CountedBody { body, call }))
        })
    }
}

/// Counted when it is dropped, as what it has come to by then.
#[derive(Debug)]
struct Call {
    path: String,
    ended: Ended,
    code: Option<Code>,
}

impl Drop for Call {
    fn drop(&mut self) {
        // Nobody waited for its end.
        self.ended.add(&self.path, self.code.unwrap_or(Code::Cancelled));
    }
}

/// An answer that is under way: its last frame says how the call ended.
#[derive(Debug)]
pub(crate) struct CountedBody<B> {
    body: B,
    call: Call,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<B::Data>, B::Error>>> {
        let Self { body, call } = self.get_mut();
        let frame = ready!(Pin::new(body).poll_frame(context));
        let code = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code_in(trailers).unwrap_or(Code::Unknown)),
            Some(Err(_)) | None => Some(Code::Unknown),
        };
        call.code = call.code.or(code);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}

const CODES: usize = 17;

fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid-argument",
        Code::DeadlineExceeded => "deadline-exceeded",
        Code::NotFound => "not-found",
        Code::AlreadyExists => "already-exists",
        Code::PermissionDenied => "permission-denied",
        Code::ResourceExhausted => "resource-exhausted",
        Code::FailedPrecondition => "failed-precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out-of-range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data-loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_are_one() {
        let ended = Ended::default();
        (0..10_000).for_each(|number| ended.add(&format!("/made.up/Method{number}"), Code::Unimplemented));
        ended.add("/sumac.v1.Operator/ListJobs", Code::Ok);
        let unknown = ("unknown".to_owned(), "unimplemented", 10_000);
        assert_eq!(ended.all(), [("sumac.v1.Operator/ListJobs".to_owned(), "ok", 1), unknown]);
    }

    #[test]
    fn however_many_names_there_are_the_table_ends() {
        let ended = Ended::default();
        (0..10_000).for_each(|number| ended.add(&format!("/made.up/Method{number}"), Code::Ok));
        assert!(ended.all().len() <= METHODS_MAX * CODES + CODES);
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_cancelled() {
        let ended = Ended::default();
        drop(Call { path: "/sumac.v1.Cluster/Attend".to_owned(), ended: ended.clone(), code: None });
        assert_eq!(ended.all(), [("sumac.v1.Cluster/Attend".to_owned(), "cancelled", 1)]);
    }
}
