use wellspring::verify::Check;
use wellspring_eval::curve::CurvePoint;
use wellspring_eval::details::Example;
use wellspring_eval::domains::{Member, by_domain};
use wellspring_eval::metrics::Scored;
use wellspring_eval::reliability::bins;

use super::*;

fn details() -> [Details; 2] {
    let point = |hit_rate, false_hits_per_hit| CurvePoint { hit_rate, false_hits_per_hit, threshold: 0.9 };
    let curve = vec![point(0.1, 0.0), point(0.4, 0.1), point(0.8, 0.3)];
    let example = Example {
        asked: "<script>alert(\"asked\")</script>".into(),
        cached: "<img src=https://example.com/x.png onerror='x'>".into(),
        expected: Some("</style><b>&amp;".into()),
        similarity: Some(0.91),
        score: Some(0.97),
        why: Check::new("scorer", true, "probability <i>"),
    };
    let scores: Vec<_> = (0..50_u8).map(|n| (f32::from(n) / 50.0, n % 3 == 0)).collect();
    let verifier = Details {
        reliability: bins(&scores),
        false_hits: 1,
        worst: vec![example.clone()],
        missed: vec![("guard: <numbers>".into(), 3)],
        nearly: vec![example.clone()],
        refused: vec![example],
        ..Details::without_scores(Policy::Verifier, curve, Some(point(0.3, 0.05)))
    };
    [verifier, Details::without_scores(Policy::VCache, Vec::new(), None)]
}

fn page(kept: [BudgetVerdict; 2]) -> String {
    let details = details();
    let scored = Some(Scored::of(0.9, true));
    let member = Member { domain: Some("<i>law"), is_answerable: true, hit: Some(true), scored };
    let domains = by_domain(&[member], 0.02);
    let page = Page {
        title: "Policies",
        asked: "queries",
        facts: vec![("data", "<script>.jsonl".into())],
        budget: 0.02,
        answerable: 0.5,
        columns: &["Threshold"],
        rows: vec![vec!["0.9".into()], vec!["–".into()]],
        kept: kept.into(),
        details: &details,
        domains: vec![(Policy::Verifier, &domains[..])],
        stages: &[],
    };
    page.render()
}

#[test]
fn nothing_of_the_data_is_markup() {
    let page = page([BudgetVerdict::Exceeded, BudgetVerdict::Insufficient]);
    for markup in ["<script", "<img", "<i>", "<b>&amp;<", "<numbers>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;alert(&quot;asked&quot;)&lt;/script&gt;"));
    assert_eq!(page.matches("</style>").count(), 1);
}

#[test]
fn domains_say_where_the_hits_are_too_few() {
    let page = page([BudgetVerdict::Within, BudgetVerdict::Insufficient]);
    assert!(page.contains("&lt;i&gt;law") && page.contains("too few hits"), "{page}");
    assert_eq!(page.matches("id=\"domains-verifier\"").count(), 1);
}

#[test]
fn the_page_needs_no_other() {
    let page = page([BudgetVerdict::Exceeded, BudgetVerdict::Insufficient]);
    for reference in [" src=\"", " href=\"", "url(", "@import", "<link", "<iframe"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains(CONTENT_SECURITY));
}

#[test]
fn the_verdict_is_the_most_hits_within_the_budget() {
    assert!(
        page([BudgetVerdict::Insufficient, BudgetVerdict::Insufficient]).contains("No policy could show")
    );
    let kept = page([BudgetVerdict::Within, BudgetVerdict::Insufficient]);
    assert!(kept.contains("<strong>verifier</strong> found the most within the budget"), "{kept}");
    assert!(kept.contains("<strong>30.0 %</strong> of the queries, 5.0 % of them false."));
}

#[test]
fn plots_have_names_and_tables_have_headers() {
    let page = page([BudgetVerdict::Within, BudgetVerdict::Insufficient]);
    assert_eq!(page.matches("role=\"img\"").count(), 2);
    for id in ["precision-title", "precision-desc", "verifier-title", "verifier-desc"] {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(page.contains("<th scope=\"row\">") && page.contains("<th scope=\"col\">"));
}
