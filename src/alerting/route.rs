use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::Ends;
use crate::model::{Labels, Matcher, Test};

/// What a route says; what it leaves open it inherits from the route above it
/// (Alertmanager's rules: receiver, grouping and timers are inherited, time intervals are not).
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    /// Who is told; required at the root.
    pub receiver: Option<Arc<str>>,
    /// All of them must match; the root has none.
    pub matchers: Vec<Matcher>,
    /// Go on to the next sibling although this one matched.
    pub go_on: bool,
    /// Which labels make a group.
    pub group_by: Option<GroupBy>,
    /// Wait before the first message of a group.
    pub group_wait: Option<Duration>,
    /// Time between two looks at a group.
    pub group_interval: Option<Duration>,
    /// Time after which unchanged news are told again.
    pub repeat_interval: Option<Duration>,
    /// Names of time intervals in which nothing is told.
    pub mute: Vec<Arc<str>>,
    /// Names of time intervals outside which nothing is told; empty = always.
    pub active: Vec<Arc<str>>,
    /// Who hears of an end; inherited, the plan's choice where no route says it.
    pub ends: Option<Ends>,
    /// Tried before this route itself, in order.
    pub children: Vec<RouteSpec>,
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// All of them: each alert is a group (`group_by: ['...']`).
    All,
    /// These; none = one group for the whole route. Sorted.
    Labels(Vec<Arc<str>>),
}

impl GroupBy {
    /// From label names in any order.
    pub fn labels(names: &[&str]) -> Self {
        let mut names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
        names.sort_unstable();
        names.dedup();
        Self::Labels(names)
    }

    /// The labels that name the group of an alert.
    pub fn group_of(&self, labels: &Labels) -> Labels {
        match self {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => {
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                labels.only(&names)
            }
        }
    }
}

/// A place in a [`RouteTree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(usize);

/// A route with everything it inherited.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path of matchers from the root, as Alertmanager writes it in a group key
    /// (`{}/{owner="web-team"}`); with a position behind it where two siblings have the same
    /// matchers (`/1`).
    pub key: Arc<str>,
    /// Who is told.
    pub receiver: Arc<str>,
    /// Its own matchers.
    pub matchers: Vec<Matcher>,
    /// Whether the next sibling is tried too.
    pub go_on: bool,
    /// Which labels make a group.
    pub group_by: GroupBy,
    /// Wait before the first message of a group.
    pub group_wait: Duration,
    /// Time between two looks at a group.
    pub group_interval: Duration,
    /// Time after which unchanged news are told again.
    pub repeat_interval: Duration,
    /// Names of time intervals in which nothing is told.
    pub mute: Vec<Arc<str>>,
    /// Names of time intervals outside which nothing is told; empty = always.
    pub active: Vec<Arc<str>>,
    /// Who hears of an end; the plan's choice when absent.
    pub ends: Option<Ends>,
    /// The routes below.
    pub children: Vec<RouteId>,
    /// Which of them can match an alert with a certain label.
    index: Index,
}

/// Children that ask for `name="value"` by that pair, so that an alert is not compared with each of
/// a thousand services. Positions in [`Route::children`].
#[derive(Clone, Debug, Default)]
struct Index {
    by_label: HashMap<Arc<str>, HashMap<Arc<str>, Vec<usize>>>,
    others: Vec<usize>,
}

/// Below so many children a walk through them is quicker.
const INDEX_FROM: usize = 8;

/// All routes. The root matches everything, so that no alert falls through.
#[derive(Clone, Debug)]
pub struct RouteTree {
    routes: Vec<Route>,
}

/// How many routes may lie inside each other.
const MAX_DEPTH: usize = 64;

/// Why a tree was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The root names nobody.
    #[error("the root route has no receiver")]
    NoReceiver,
    /// The root has matchers or time intervals, so that an alert could fall through.
    #[error("the root route must match every alert at every time: no {0} there")]
    RootMustMatchAll(&'static str),
    /// Too deep to walk through safely.
    #[error("routes lie more than {MAX_DEPTH} deep inside each other")]
    TooDeep,
}

impl RouteTree {
    /// Alertmanager's defaults for what nobody wrote: one group, 30 s, 5 min, 4 h.
    ///
    /// # Errors
    /// The root has no receiver, or does not match everything.
    pub fn new(root: RouteSpec) -> Result<Self, RouteError> {
        let receiver = root.receiver.clone().ok_or(RouteError::NoReceiver)?;
        for (written, what) in [
            (!root.matchers.is_empty(), "matchers"),
            (root.go_on, "`continue`"),
            (!root.mute.is_empty(), "`mute_time_intervals`"),
            (!root.active.is_empty(), "`active_time_intervals`"),
        ] {
            if written {
                return Err(RouteError::RootMustMatchAll(what));
            }
        }
        let above = Inherited {
            receiver,
            group_by: GroupBy::Labels(Vec::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: Duration::from_secs(4 * 3600),
            ends: None,
        };
        let mut tree = Self { routes: Vec::new() };
        tree.add(root, &above, "", 0)?;
        tree.make_keys_unique();
        Ok(tree)
    }

    fn add(
        &mut self,
        spec: RouteSpec,
        above: &Inherited,
        path: &str,
        depth: usize,
    ) -> Result<RouteId, RouteError> {
        if MAX_DEPTH < depth {
            return Err(RouteError::TooDeep);
        }
        let mut key = path.to_owned();
        if depth > 0 {
            key.push('/');
        }
        write_matchers(&mut key, &spec.matchers);
        let mine = Inherited {
            receiver: spec.receiver.unwrap_or_else(|| above.receiver.clone()),
            group_by: spec.group_by.unwrap_or_else(|| above.group_by.clone()),
            group_wait: spec.group_wait.unwrap_or(above.group_wait),
            group_interval: spec.group_interval.unwrap_or(above.group_interval),
            repeat_interval: spec.repeat_interval.unwrap_or(above.repeat_interval),
            ends: spec.ends.or(above.ends),
        };
        let id = RouteId(self.routes.len());
        self.routes.push(Route {
            key: key.as_str().into(),
            receiver: mine.receiver.clone(),
            matchers: spec.matchers,
            go_on: spec.go_on,
            group_by: mine.group_by.clone(),
            group_wait: mine.group_wait,
            group_interval: mine.group_interval,
            repeat_interval: mine.repeat_interval,
            mute: spec.mute,
            active: spec.active,
            ends: mine.ends,
            children: Vec::new(),
            index: Index::default(),
        });
        for child in spec.children {
            let child = self.add(child, &mine, &key, depth + 1)?;
            self.routes[id.0].children.push(child);
        }
        self.routes[id.0].index = self.index(id);
        Ok(id)
    }

    fn index(&self, id: RouteId) -> Index {
        let mut index = Index::default();
        let children = &self.get(id).children;
        if children.len() < INDEX_FROM {
            return index;
        }
        for (at, &child) in children.iter().enumerate() {
            let wanted = self.get(child).matchers.iter().find_map(|matcher| match matcher.test() {
                Test::Equal(value) if !value.is_empty() => Some((matcher.name(), value)),
                _ => None,
            });
            match wanted {
                Some((name, value)) => {
                    let values = index.by_label.entry(name.into()).or_default();
                    values.entry(value.clone()).or_default().push(at);
                }
                None => index.others.push(at),
            }
        }
        index
    }

    /// Two routes with the same path would share their groups' memory.
    fn make_keys_unique(&mut self) {
        let mut seen = std::collections::BTreeMap::new();
        for route in &mut self.routes {
            let times: &mut usize = seen.entry(route.key.clone()).or_default();
            if *times > 0 {
                route.key = format!("{}/{times}", route.key).into();
            }
            *times += 1;
        }
    }

    /// The root, which matches everything.
    pub fn root(&self) -> RouteId {
        RouteId(0)
    }

    /// A route by its place.
    pub fn get(&self, id: RouteId) -> &Route {
        &self.routes[id.0]
    }

    /// The route with that key.
    pub fn by_key(&self, key: &str) -> Option<RouteId> {
        self.routes.iter().position(|route| *route.key == *key).map(RouteId)
    }

    /// All routes, each before those below it.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Route)> {
        self.routes.iter().enumerate().map(|(at, route)| (RouteId(at), route))
    }

    /// The routes an alert takes, in order: depth first, the first matching child wins unless it
    /// says `continue`; where no child matches, the route itself. Never empty.
    pub fn resolve(&self, labels: &Labels) -> Vec<RouteId> {
        let mut found = Vec::with_capacity(1);
        self.descend(self.root(), labels, &mut found);
        found
    }

    fn descend(&self, at: RouteId, labels: &Labels, found: &mut Vec<RouteId>) {
        let before = found.len();
        let children = &self.get(at).children;
        let try_child = |child: RouteId, found: &mut Vec<RouteId>| {
            let route = self.get(child);
            let fits = route.matchers.iter().all(|matcher| matcher.matches(labels));
            if fits {
                self.descend(child, labels, found);
            }
            // Whether the next one is tried.
            !fits || route.go_on
        };
        if children.len() < INDEX_FROM {
            let _ = children.iter().all(|&child| try_child(child, found));
        } else {
            let candidates = self.get(at).index.candidates(labels);
            let _ = candidates.into_iter().all(|at| try_child(children[at], found));
        }
        if found.len() == before {
            found.push(at);
        }
    }
}

impl Index {
    /// Positions of all children that can match, in their order.
    fn candidates(&self, labels: &Labels) -> Vec<usize> {
        let mut found = self.others.clone();
        for (name, values) in &self.by_label {
            if let Some(here) = labels.get(name).and_then(|value| values.get(value)) {
                found.extend(here);
            }
        }
        found.sort_unstable();
        found
    }
}

struct Inherited {
    receiver: Arc<str>,
    group_by: GroupBy,
    group_wait: Duration,
    group_interval: Duration,
    repeat_interval: Duration,
    ends: Option<Ends>,
}

fn write_matchers(into: &mut String, matchers: &[Matcher]) {
    into.push('{');
    for (at, matcher) in matchers.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(into, "{comma}{matcher}");
    }
    into.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn to(receiver: &str, matcher: (&str, &str)) -> RouteSpec {
        RouteSpec {
            receiver: Some(receiver.into()),
            matchers: vec![Matcher::equal(matcher.0, matcher.1)],
            ..RouteSpec::default()
        }
    }

    fn receivers(tree: &RouteTree, pairs: &[(&str, &str)]) -> Vec<String> {
        let found = tree.resolve(&labels(pairs));
        found.into_iter().map(|id| tree.get(id).receiver.to_string()).collect()
    }

    #[test]
    fn the_first_match_wins_unless_it_goes_on() {
        let root = RouteSpec {
            receiver: Some("root".into()),
            children: vec![
                RouteSpec { go_on: true, ..to("a", ("x", "1")) },
                RouteSpec { children: vec![to("b2", ("y", "2"))], ..to("b", ("x", "1")) },
                to("c", ("x", "1")),
            ],
            ..RouteSpec::default()
        };
        let tree = RouteTree::new(root).unwrap();
        assert_eq!(receivers(&tree, &[("x", "1")]), ["a", "b"]);
        assert_eq!(receivers(&tree, &[("x", "1"), ("y", "2")]), ["a", "b2"]);
        assert_eq!(receivers(&tree, &[("x", "9")]), ["root"]);
    }

    #[test]
    fn many_children_are_found_as_few_are() {
        let child = |n: usize| match n % 5 {
            0 => RouteSpec { go_on: true, ..to(&format!("r{n}"), ("y", "1")) },
            1 => RouteSpec {
                matchers: vec![Matcher::new("x", Test::NotEqual("3".into()))],
                go_on: n.is_multiple_of(2),
                ..to(&format!("r{n}"), ("", ""))
            },
            _ => to(&format!("r{n}"), ("x", &(n % 7).to_string())),
        };
        for x in ["0", "1", "2", "3", "4", "9"] {
            for y in ["0", "1"] {
                let alert = labels(&[("x", x), ("y", y)]);
                let fits = |n: &usize| child(*n).matchers.iter().all(|m| m.matches(&alert));
                let mut want = Vec::new();
                for n in (0..40).filter(fits) {
                    want.push(format!("r{n}"));
                    if !child(n).go_on {
                        break;
                    }
                }
                let root = RouteSpec {
                    receiver: Some("root".into()),
                    children: (0..40).map(child).collect(),
                    ..RouteSpec::default()
                };
                let tree = RouteTree::new(root).unwrap();
                assert_eq!(receivers(&tree, &[("x", x), ("y", y)]), want);
            }
        }
    }

    #[test]
    fn timers_and_grouping_are_inherited_but_intervals_are_not() {
        let child =
            RouteSpec { group_interval: Some(Duration::from_secs(7)), ..to("c", ("x", "1")) };
        let middle = RouteSpec {
            mute: vec!["night".into()],
            group_by: Some(GroupBy::labels(&["b", "a"])),
            children: vec![child],
            ..to("m", ("y", "1"))
        };
        let root = RouteSpec {
            receiver: Some("root".into()),
            group_wait: Some(Duration::from_secs(3)),
            children: vec![middle],
            ..RouteSpec::default()
        };
        let tree = RouteTree::new(root).unwrap();
        let leaf = tree.by_key(r#"{}/{y="1"}/{x="1"}"#).unwrap();
        let leaf = tree.get(leaf);
        assert_eq!(leaf.group_wait, Duration::from_secs(3));
        assert_eq!(leaf.group_interval, Duration::from_secs(7));
        assert_eq!(leaf.repeat_interval, Duration::from_secs(14_400));
        assert_eq!(leaf.group_by, GroupBy::labels(&["a", "b"]));
        assert!(leaf.mute.is_empty());
    }

    #[test]
    fn twins_do_not_share_a_key() {
        let root = RouteSpec {
            receiver: Some("root".into()),
            children: vec![to("a", ("x", "1")), to("b", ("x", "1"))],
            ..RouteSpec::default()
        };
        let tree = RouteTree::new(root).unwrap();
        let keys: Vec<_> = tree.iter().map(|(_, route)| route.key.to_string()).collect();
        assert_eq!(keys, ["{}", r#"{}/{x="1"}"#, r#"{}/{x="1"}/1"#]);
    }

    #[test]
    fn a_root_that_misses_something_is_refused() {
        assert_eq!(RouteTree::new(RouteSpec::default()).unwrap_err(), RouteError::NoReceiver);
        let refused = RouteTree::new(to("a", ("x", "1"))).unwrap_err();
        assert_eq!(refused, RouteError::RootMustMatchAll("matchers"));
    }
}
