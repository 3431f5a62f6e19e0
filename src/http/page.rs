//! Pages of lists: `{"items": […], "next_page_token": …}`. A token is the name behind which the next page begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::codes::Code;
use super::error::Problem;

/// Items of a page unless asked otherwise.
pub(super) const LIMIT_DEFAULT: usize = 1000;
/// Items of a page at most.
pub(super) const LIMIT_MAX: usize = 1000;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// in name order
    pub(super) items: Vec<T>,
    /// pass it as `page_token` for the next page; absent on the last one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<String>,
}

/// A page of items that are in name order.
///
/// # Errors
/// `InvalidQuery`, `InvalidCursor`.
pub(super) fn page<I, T>(
    items: Vec<I>,
    limit: Option<usize>,
    token: Option<&str>,
    name: impl Fn(&I) -> &str,
    show: impl Fn(I) -> T,
) -> Result<Page<T>, Problem> {
    let limit = super::consume::bounded("limit", limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let behind = token.map(read_token).transpose()?;
    let mut rest =
        items.into_iter().filter(|i| behind.as_deref().is_none_or(|b| name(i).as_bytes() > b)).peekable();
    let mut shown = Vec::new();
    let mut last = String::new();
    while shown.len() < limit
        && let Some(item) = rest.next()
    {
        name(&item).clone_into(&mut last);
        shown.push(show(item));
    }
    let next_page_token = rest.peek().is_some().then(|| token_of(last.as_bytes()));
    Ok(Page { items: shown, next_page_token })
}

/// A token for these bytes.
pub(super) fn token_of(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a token.
///
/// # Errors
/// `InvalidCursor`.
pub(super) fn read_token(token: &str) -> Result<Vec<u8>, Problem> {
    let wrong = |_| Problem::new(Code::InvalidCursor, format!("`{token}` is no page token of this server"));
    URL_SAFE_NO_PAD.decode(token).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let all = vec!["a", "b", "c", "d", "e"];
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = page(all.clone(), Some(2), token.as_deref(), |i| i, |i| i).unwrap();
            seen.extend(page.items);
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert!(page(all, Some(0), None, |i| i, |i| i).is_err());
    }
}
