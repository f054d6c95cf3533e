//! `/api/v1/explain`: which side would answer a request, and why.
//!
//! Its own file, because the proxy's socket answers it too.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;

use super::extract::Json as Body;
use super::{Problem, State};
use crate::proxy::explain::{ExplainRequest, Explainer, Explanation};

pub(super) async fn explain(
    Shared(state): Shared<State>,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<Explanation>, Problem> {
    let explainer = state
        .process
        .as_ref()
        .and_then(|process| process.explainer.as_ref());
    answer(explainer, &request).await
}

pub(super) async fn answer(
    explainer: Option<&Arc<Explainer>>,
    request: &ExplainRequest,
) -> Result<Json<Explanation>, Problem> {
    let Some(explainer) = explainer else {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no-proxy",
            "there is no proxy here whose routes could be asked",
        )
        .hint(
            "ask a process with the proxy role, or its socket: `ficus explain … --local SOCKET`",
        ));
    };
    explainer
        .explain(request)
        .await
        .map(Json)
        .map_err(Problem::invalid)
}
