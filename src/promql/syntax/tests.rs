use super::*;
use proptest::prelude::*;

fn error(query: &str) -> String {
    match parse(query) {
        Ok(expr) => panic!("{query} is {expr}"),
        Err(error) => error.to_string(),
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn errors_are_worded_and_placed_as_prometheus_does() {
    for (query, wanted) in [
        (
            "{__name__=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("2 ** 3", "1:4: parse error: unexpected <op:*>"),
        (
            "time()[3m:1m]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "sum(\"a\")",
            "1:5: parse error: expected type instant vector in aggregation expression, got string",
        ),
        (
            "topk(\"a\", up)",
            "1:6: parse error: expected type scalar in aggregation parameter, got string",
        ),
        ("sum by (job) (up) by (job)", "1:19: parse error: unexpected <by>"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "up and bool up",
            "1:4: parse error: bool modifier can only be used on comparison operators",
        ),
        ("up group_left up", "1:4: parse error: unexpected <group_left>"),
        ("up and group_left up", "1:8: parse error: unexpected <group_left>"),
        (
            "up - on(i) group_left(i) x",
            "1:4: parse error: label \"i\" must not occur in ON and GROUP clause at once",
        ),
        ("up offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("up @ up", "1:6: parse error: unexpected identifier \"up\" in @, expected timestamp"),
        ("up @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        (
            "up offset",
            "1:10: parse error: unexpected end of input in offset, expected number or duration",
        ),
        ("up @ start(1)", "1:12: parse error: unexpected number \"1\" in @, expected timestamp"),
        ("up[5m:0s]", "1:7: parse error: duration must be greater than 0"),
        ("rate(up[5m:1m])[5m]", "1:16: parse error: ranges only allowed for vector selectors"),
        (
            "label_join(up)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        ("", "unknown position: parse error: no expression found in input"),
        ("#only a comment", "1:1: parse error: no expression found in input"),
        ("up}", "1:3: parse error: unexpected character: '}'"),
        (
            "up{job}",
            "1:7: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "up{job=node}",
            "1:8: parse error: unexpected identifier \"node\" in label matching, expected string",
        ),
        ("up{job=\"node}", "1:8: parse error: unterminated quoted string"),
        ("up{job==\"x\"}", "1:8: parse error: unexpected \"=\" in label matching, expected string"),
        (
            "up{__name__=\"up\"}",
            "1:1: parse error: metric name must not be set twice: \"up\" or \"up\"",
        ),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("up[0]", "1:4: parse error: duration must be greater than 0"),
        (
            "up[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("1 2", "1:3: parse error: unexpected number \"2\""),
        ("up)", "1:4: parse error: unexpected right parenthesis ')'"),
        ("sum by (job)", "1:13: parse error: unexpected end of input in aggregation"),
        (
            "up == \"x\"",
            "1:7: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("1 == bool", "1:10: parse error: unexpected end of input"),
        ("up and on(job", "1:14: parse error: unclosed left parenthesis"),
        ("up * group_left() up", "1:6: parse error: unexpected <group_left>"),
        ("up\u{0}", "1:3: parse error: unexpected character: '\\x00'"),
        ("*", "1:1: parse error: unexpected <op:*>"),
        ("up * ignoring(job) on(job) up", "1:20: parse error: unexpected <on>"),
        (
            "topk(up)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("RATE(up[5m])", "1:1: parse error: unknown function with name \"RATE\""),
        ("sum(on)", "1:5: parse error: unexpected <on> in aggregation"),
        ("atan2", "1:1: parse error: unexpected <op:atan2>"),
        ("up{a.b=\"x\"}", "1:5: parse error: unexpected character inside braces: '.'"),
        ("1h:5m", "1:3: parse error: unexpected metric identifier \":5m\""),
        ("up[1m1h]", "1:4: parse error: not a valid duration string: \"1m1h\""),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        (
            "max_over_time(foo[3m] anchored)",
            "1:15: parse error: anchored modifier can only be used with: changes, delta, increase, rate, resets - not with max_over_time",
        ),
    ] {
        assert_eq!(error(query), wanted, "{query}");
    }
}

#[test]
fn it_prints_as_prometheus_does() {
    for (query, wanted) in [
        (
            "sum(rate( up{job=\"x\"} [5m])) by(job,\"a b\")",
            "sum by (job, \"a b\") (rate(up{job=\"x\"}[5m]))",
        ),
        ("-1^2", "-1 ^ 2"),
        ("a-on(x)group_left(y)fill(0)b", "a - on (x) group_left (y) fill (0) b"),
        ("up[30m:] @ end() offset -1h", "up[30m:] @ end() offset -1h"),
        ("{\"my.metric\",\"a.b\"=~\"c\"}", "{\"my.metric\",\"a.b\"=~\"c\"}"),
        ("x[step()*2] offset (2*step())", "x[step() * 2s] offset (2s * step())"),
        ("x @ 1.5 smoothed", "x smoothed @ 1.500"),
        ("quantile without (a) (.5, b) > bool 1e3", "quantile without (a) (0.5, b) > bool 1000"),
    ] {
        assert_eq!(parse(query).unwrap().to_string(), wanted, "{query}");
    }
}

#[test]
fn operators_bind_as_documented() {
    let tree = |query: &str| -> String {
        fn show(expr: &Expr) -> String {
            match expr {
                Expr::Binary(b) => {
                    format!("({}{}{})", show(&b.left), b.operator.symbol(), show(&b.right))
                }
                Expr::Unary(u) => format!("(-{})", show(&u.inner)),
                other => other.to_string(),
            }
        }
        show(&parse(query).unwrap())
    };
    assert_eq!(tree("a or b and c == d + e * f ^ g ^ h"), "(aor(band(c==(d+(e*(f^(g^h)))))))");
    assert_eq!(tree("a - b - c"), "((a-b)-c)");
    assert_eq!(tree("-a ^ b * c"), "((-(a^b))*c)");
    assert_eq!(tree("x offset 2 ^ 2"), "(x offset 2s^2)");
}

#[test]
fn hostile_queries_are_refused_quickly() {
    for query in [
        "(".repeat(500_000),
        "-".repeat(500_000),
        format!("{}1", "1+".repeat(200_000)),
        format!("{}1", "1^".repeat(200_000)),
        format!("x{}", "[1m:]".repeat(100_000)),
        format!("x[{}1m", "-".repeat(100_000)),
        format!("sum({}", "sum(".repeat(100_000)),
        "a".repeat(2 << 20),
        "x{a=~\"(((((a{1000}){1000}){1000}){1000})\"}".to_owned(),
    ] {
        assert!(parse(&query).is_err());
    }
}

#[test]
fn the_offending_place_is_marked() {
    let query = "sum(up) by (job)\n  + on";
    let error = parse(query).unwrap_err();
    assert_eq!(error.marked(query).lines().last().unwrap().trim_end(), "      ^");
}

#[test]
fn selectors_are_listed() {
    let expr = parse("sum(a{x=\"1\"}) / rate(b[5m]) + min_over_time((c)[1h:])").unwrap();
    let names: Vec<_> = expr.selectors().iter().map(|m| m.last().unwrap().to_string()).collect();
    assert_eq!(names, ["__name__=\"a\"", "__name__=\"b\"", "__name__=\"c\""]);
    assert!(parse_selector("up[5m]").is_err() && parse_selector("{a=\"b\"}").is_ok());
}

fn any_query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("up".to_owned()),
        Just("a:b{x=\"y\",z!~\"q|r\"} offset -5m".to_owned()),
        Just("rate(x[5m] @ start())".to_owned()),
        Just("max_over_time(x[1h:step()])".to_owned()),
        Just("{\"u.t\"} @ 12.5".to_owned()),
        Just("vector(0x1f)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("sum by (job)({a})")),
            inner.clone().prop_map(|a| format!("topk(3,({a}))")),
            inner.clone().prop_map(|a| format!("label_replace({a},\"a\",\"$1\",\"b\",\"(.*)\")")),
            (inner.clone(), inner.clone(), 0..Operator::ALL.len())
                .prop_map(|(a, b, at)| { format!("{a} {} {b}", Operator::ALL[at].0) }),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{a} / on (x) group_left(y) {b}")),
        ]
    })
}

proptest! {
    #[test]
    fn printing_is_stable(query in any_query()) {
        let printed = parse(&query).unwrap().to_string();
        let again = parse(&printed).unwrap().to_string();
        prop_assert_eq!(printed, again);
    }

    #[test]
    fn nothing_panics(query in "\\PC{0,80}") {
        let _ = parse(&query).map(|expr| expr.to_string());
    }

    #[test]
    fn nothing_almost_right_panics(parts in proptest::collection::vec(
        prop_oneof!["[a-z_:]{1,4}", "[0-9]{1,3}(s|m|ms|h)?", "[(){}\\[\\]:,@+*/%^=!~<>-]", "\"[^\"]{0,3}\"",
            Just(" offset ".to_owned()), Just(" by ".to_owned()), Just("sum(".to_owned()), Just("rate(".to_owned()),
            Just("step()".to_owned()), Just(" bool ".to_owned()), Just("\\x".to_owned())], 0..24)) {
        let query: String = parts.concat();
        if let Ok(expr) = parse(&query) {
            let printed = expr.to_string();
            prop_assert!(parse(&printed).is_ok(), "{} printed as {}", query, printed);
        }
    }
}
