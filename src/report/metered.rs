//! Templates whose every expression, round and macro reports to a [`Budget`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tera::ast::{Expr, ExprVal, FunctionCall, If, LogicOperator, MacroCall, Node, WS};
use tera::{Context, Tera};

use super::budget::{AT, Budget, COUNT, ENTER, GROWING, LEAVE, OF, PART, ROUND};
use super::filters;
use super::tags::{Fault, Place, places};
use crate::guard;

/// Expressions inside each other.
const DEEPEST: usize = 100;
/// The engine recurses: so much for all tags, expressions and macros that may be inside each other.
const STACK: usize = 64 << 20;

/// Why a template cannot be used.
pub(super) enum Failure {
    /// A bound is met, or it asks for what templates do not have.
    Fault(Fault),
    /// The engine's word.
    Engine(tera::Error),
}

/// Parses a template and does no more.
pub(super) fn check(name: &str, text: &str) -> Result<(), Failure> {
    on_own_stack(|| parse(name, text).map(drop))
}

/// Fills a template.
pub(super) fn render(name: &str, text: &str, context: &Context) -> Result<String, Failure> {
    on_own_stack(|| {
        let (mut tera, places) = parse(name, text)?;
        let budget = Arc::new(Budget::new(&context.clone().into_json()));
        budget.register(&mut tera);
        tera.render(name, context).map_err(|error| match budget.fault() {
            Some((at, reason)) => Failure::Fault((places.get(at).copied(), reason)),
            None => Failure::Engine(error),
        })
    })
}

fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    // The engine takes some things for granted, such as that no number is infinite.
    guard::run(STACK, work).unwrap_or_else(|error| {
        let reason = format!("the template engine fails: {error}");
        Err(Failure::Fault((None, reason)))
    })
}

/// The template with its meters, and the places of its tags; none where they cannot be told.
fn parse(name: &str, text: &str) -> Result<(Tera, Vec<Place>), Failure> {
    let places = places(text).map_err(Failure::Fault)?;
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::new());
    tera.functions.remove("get_env");
    filters::register(&mut tera);
    tera.add_raw_template(name, text).map_err(Failure::Engine)?;
    let Some(template) = tera.templates.get_mut(name) else {
        return Ok((tera, places));
    };
    let mut meter = Meter::default();
    let metered = meter.nodes(&mut template.ast).and_then(|()| meter.check_macros());
    metered.map_err(|(at, reason)| {
        let place = at.and_then(|at| places.get(at)).copied();
        Failure::Fault((place, reason))
    })?;
    let known = if meter.tags == places.len() {
        places
    } else {
        Vec::new()
    };
    // Blocks are of no use without inheritance: they are filled where they stand.
    template.blocks.clear();
    template.blocks_definitions.clear();
    for node in &template.ast {
        if let Node::MacroDefinition(_, definition, _) = node {
            template
                .macros
                .insert(definition.name.clone(), definition.clone());
        }
    }
    Ok((tera, known))
}

/// A tag's number, where it is known, and what is wrong.
type Problem = (Option<usize>, String);

/// Puts meters into a parsed template.
#[derive(Default)]
struct Meter {
    /// Tags so far.
    tags: usize,
    /// The macro it is in.
    inside: Option<String>,
    /// Whether what follows may be passed over.
    conditional: bool,
    /// The number of each macro's tag, and the macros that it calls in any case.
    macros: BTreeMap<String, (usize, BTreeSet<String>)>,
}

impl Meter {
    fn at(&self) -> usize {
        self.tags.saturating_sub(1)
    }

    fn problem<T>(&self, reason: &str) -> Result<T, Problem> {
        Err((Some(self.at()), reason.to_owned()))
    }

    fn nodes(&mut self, nodes: &mut [Node]) -> Result<(), Problem> {
        nodes.iter_mut().try_for_each(|node| self.node(node))
    }

    /// Nodes that may be passed over, or come again.
    fn perhaps(&mut self, nodes: &mut [Node]) -> Result<(), Problem> {
        let before = std::mem::replace(&mut self.conditional, true);
        let done = self.nodes(nodes);
        self.conditional = before;
        done
    }

    fn node(&mut self, node: &mut Node) -> Result<(), Problem> {
        match node {
            Node::Text(_) | Node::Raw(..) | Node::Comment(..) | Node::Break(_) | Node::Continue(_) => {}
            Node::VariableBlock(_, value) => {
                self.tags += 1;
                self.value(value, 0)?;
            }
            Node::Set(_, set) => {
                self.tags += 1;
                self.value(&mut set.value, 0)?;
            }
            Node::If(branches, _) => {
                self.tags += 1;
                let before = self.conditional;
                for (_, condition, body) in &mut branches.conditions {
                    self.expression(condition, 0)?;
                    self.conditional = true;
                    self.nodes(body)?;
                }
                self.conditional = before;
                if let Some((_, body)) = &mut branches.otherwise {
                    self.perhaps(body)?;
                }
            }
            Node::Forloop(_, for_loop, _) => {
                self.tags += 1;
                let round = self.call(ROUND, texts(&for_loop.body));
                self.expression(&mut for_loop.container, 0)?;
                self.perhaps(&mut for_loop.body)?;
                for_loop.body.insert(0, round);
                if let Some(body) = &mut for_loop.empty_body {
                    self.perhaps(body)?;
                }
            }
            Node::FilterSection(_, section, _) => {
                self.tags += 1;
                let at = self.at();
                self.arguments(&mut section.filter, 0)?;
                self.nodes(&mut section.body)?;
                // What the filter makes is counted by another one around it.
                let filter = std::mem::replace(&mut section.filter, counting(at));
                let body = std::mem::take(&mut section.body);
                let inner = tera::ast::FilterSection { filter, body };
                section
                    .body
                    .push(Node::FilterSection(WS::default(), inner, WS::default()));
            }
            Node::MacroDefinition(_, definition, _) => {
                self.tags += 1;
                self.macros
                    .insert(definition.name.clone(), (self.at(), BTreeSet::new()));
                let enter = self.call(ENTER, texts(&definition.body));
                let leave = self.call(LEAVE, 0);
                self.inside = Some(definition.name.clone());
                self.nodes(&mut definition.body)?;
                self.inside = None;
                definition.body.insert(0, enter);
                definition.body.push(leave);
            }
            Node::Block(_, block, _) => {
                self.nodes(&mut block.body)?;
                let body = std::mem::take(&mut block.body);
                let always = (WS::default(), Expr::new(ExprVal::Bool(true)), body);
                let branches = If {
                    conditions: vec![always],
                    otherwise: None,
                };
                *node = Node::If(branches, WS::default());
            }
            Node::Include(..) | Node::Extends(..) | Node::ImportMacro(..) | Node::Super => {
                self.tags += 1;
                return self.problem(
                    "a template stands alone: `include`, `extends`, `import` and `super` are not supported",
                );
            }
        }
        Ok(())
    }

    /// An expression whose value is kept or written, and is counted.
    fn value(&mut self, expression: &mut Expr, depth: usize) -> Result<(), Problem> {
        self.expression(expression, depth)?;
        if expression.filters.is_empty() {
            expression.filters.push(counting(self.at()));
        }
        Ok(())
    }

    /// An expression that is counted as far as it makes values. A bare name makes none, and may mean nothing in a condition.
    fn expression(&mut self, expression: &mut Expr, depth: usize) -> Result<(), Problem> {
        if depth > DEEPEST {
            return self.problem("an expression has too many parts inside each other");
        }
        let depth = depth + 1;
        match &mut expression.val {
            ExprVal::Math(math) => {
                self.expression(&mut math.lhs, depth)?;
                self.expression(&mut math.rhs, depth)?;
            }
            ExprVal::Logic(logic) => {
                self.expression(&mut logic.lhs, depth)?;
                let before = self.conditional;
                self.conditional |= matches!(logic.operator, LogicOperator::And | LogicOperator::Or);
                self.expression(&mut logic.rhs, depth)?;
                self.conditional = before;
            }
            ExprVal::In(both) => {
                self.expression(&mut both.lhs, depth)?;
                self.expression(&mut both.rhs, depth)?;
            }
            ExprVal::Test(test) => test
                .args
                .iter_mut()
                .try_for_each(|argument| self.value(argument, depth))?,
            ExprVal::MacroCall(call) => self.macro_call(call, depth)?,
            ExprVal::FunctionCall(call) => {
                self.arguments(call, depth)?;
            }
            ExprVal::Array(values) => values.iter_mut().try_for_each(|value| self.value(value, depth))?,
            ExprVal::StringConcat(parts) => {
                for part in &mut parts.values {
                    match part {
                        ExprVal::Ident(_) => {
                            let value = Expr::new(part.clone());
                            *part = ExprVal::FunctionCall(call(PART, self.at(), value));
                        }
                        ExprVal::FunctionCall(call) => self.arguments(call, depth)?,
                        _ => {}
                    }
                }
            }
            ExprVal::String(_)
            | ExprVal::Int(_)
            | ExprVal::Float(_)
            | ExprVal::Bool(_)
            | ExprVal::Ident(_) => {}
        }
        let at = self.at();
        for mut filter in std::mem::take(&mut expression.filters) {
            self.arguments(&mut filter, depth)?;
            expression.filters.extend([filter, counting(at)]);
        }
        Ok(())
    }

    fn arguments(&mut self, call: &mut FunctionCall, depth: usize) -> Result<(), Problem> {
        let mut arguments = call.args.values_mut();
        arguments.try_for_each(|argument| self.value(argument, depth))?;
        if call.name == "range" || GROWING.contains(&call.name.as_str()) {
            call.args.insert(AT.to_owned(), whole(self.at()));
        }
        Ok(())
    }

    fn macro_call(&mut self, call: &mut MacroCall, depth: usize) -> Result<(), Problem> {
        if let Some(inside) = self.inside.as_ref().filter(|_| !self.conditional)
            && let Some((_, calls)) = self.macros.get_mut(inside)
        {
            calls.insert(call.name.clone());
        }
        call.args
            .values_mut()
            .try_for_each(|argument| self.value(argument, depth))
    }

    fn call(&self, name: &str, bytes: usize) -> Node {
        let value = ExprVal::FunctionCall(call(name, self.at(), whole(bytes)));
        Node::VariableBlock(WS::default(), Expr::new(value))
    }

    /// A macro that calls itself whatever it is given never ends.
    fn check_macros(&self) -> Result<(), Problem> {
        for (name, (at, calls)) in &self.macros {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&String> = calls.iter().collect();
            while let Some(other) = next.pop() {
                if other == name {
                    let reason = format!("the macro `{name}` calls itself, without a condition that ends it");
                    return Err((Some(*at), reason));
                }
                if reached.insert(other)
                    && let Some((_, calls)) = self.macros.get(other)
                {
                    next.extend(calls);
                }
            }
        }
        Ok(())
    }
}

fn whole(number: usize) -> Expr {
    Expr::new(ExprVal::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn call(name: &str, at: usize, of: Expr) -> FunctionCall {
    FunctionCall {
        name: name.to_owned(),
        args: HashMap::from([(AT.to_owned(), whole(at)), (OF.to_owned(), of)]),
    }
}

fn counting(at: usize) -> FunctionCall {
    FunctionCall {
        name: COUNT.to_owned(),
        args: HashMap::from([(AT.to_owned(), whole(at))]),
    }
}

/// Bytes of text in a body, but for loops in it, which count their own.
fn texts(nodes: &[Node]) -> usize {
    let of = |node: &Node| match node {
        Node::Text(text) | Node::Raw(_, text, _) => text.len(),
        Node::If(branches, _) => {
            let bodies = branches.conditions.iter().map(|(_, _, body)| body);
            let otherwise = branches.otherwise.iter().map(|(_, body)| body);
            bodies.chain(otherwise).map(|body| texts(body)).sum()
        }
        Node::FilterSection(_, section, _) => texts(&section.body),
        Node::Block(_, block, _) => texts(&block.body),
        Node::Forloop(_, for_loop, _) => for_loop.empty_body.as_deref().map_or(0, texts),
        _ => 0,
    };
    nodes.iter().map(of).sum()
}
