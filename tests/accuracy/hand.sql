-- The hand set: queries in DuckDB's dialect over the tables of `world`, with their edges written beside them.
-- `== name`, then one line for each column with what it depends on, and `rows` for what all rows depend on.
-- I identity, T transformation, A aggregation; J join, G group by, F filter, S sort, W window, C conditional.

== plain
ab: t.a T, t.b T
c: t.c I
select a + b as ab, c from raw.t

== chain of stars
a2: t.a T
s: t.s I
with q as (select * from raw.t), r as (select *, a * 2 as a2 from q) select a2, s from r

== star exclude
id: t.id I
c: t.c I
d: t.d I
s: t.s I
a1: t.a T
select * exclude (a, b), a + 1 as a1 from raw.t

== star replace
k: v.k I
m: v.m T, v.n T
n: v.n I
a: v.a I
select * replace (m + n as m) from raw.v

== star rename
k: v.k I
mm: v.m I
n: v.n I
a: v.a I
select * rename (m as mm) from raw.v

== using
id: t.id I
a: t.a I
x: u.x I
rows: t.id J, u.id J
select id, a, x from raw.t join raw.u using (id)

== left join using
id: t.id I
x: u.x I
rows: t.id J, u.id J
select id, x from raw.t left join raw.u using (id)

== right join using
id: u.id I
a: t.a I
rows: t.id J, u.id J
select id, a from raw.t right join raw.u using (id)

== full join using
id: t.id T, u.id T
a: t.a I
x: u.x I
rows: t.id J, u.id J
select id, a, x from raw.t full join raw.u using (id)

== using twice
id: t.id I
tot: t.a T, u.x T, u.y T
rows: t.id J, u.id J
select id, t.a + p.x + q.y as tot from raw.t join raw.u p using (id) join raw.u q using (id)

== star over using
id: t.id I
a: t.a I
x: u.x I
rows: t.id J, u.id J
select * from (select id, a from raw.t) p join (select id, x from raw.u) q using (id)

== left join on several
id: t.id I
x: u.x I
a: t.a I
rows: t.id J, u.id J, t.b J, u.y J
select t.id, u.x, t.a from raw.t left join raw.u on t.id = u.id and t.b > u.y

== unqualified join
b: t.b I
x: u.x I
rows: t.id J, u.id J
select b, x from raw.t join raw.u on t.id = u.id

== natural join
a: t.a I
b: t.b I
n: v.n I
rows: t.a J, v.a J
select a, b, n from raw.t natural join raw.v

== semi join
id: t.id I
b: t.b I
rows: t.id J, u.y J
select id, b from raw.t semi join raw.u on t.id = u.y

== anti join using
id: t.id I
a: t.a I
rows: t.id J, u.id J
select id, a from raw.t anti join raw.u using (id)

== union by position
v: t.a I, u.x I
w: t.b I, u.y I
select a as v, b as w from raw.t union all select x, y from raw.u

== union swaps
a: t.a I, u.y I
b: t.b I, u.x I
select a, b from raw.t union all select y, x from raw.u

== union by name
a: t.a I, v.a I
b: t.b I
m: v.m I
select a, b from raw.t union all by name select m, a from raw.v

== union distinct
a: t.a I, u.x I
rows: t.a G, u.x G
select a from raw.t union select x from raw.u

== union of an expression and a literal
kind:
n: t.a T, u.x A
rows: u.y G
select 'one' as kind, a + 1 as n from raw.t union all select 'two', max(x) from raw.u group by y

== row number and running sum
id: t.id I
rn: t.a W, t.b W
sc: t.c A, t.d W
select id, row_number() over (partition by a order by b) as rn, sum(c) over (partition by d) as sc from raw.t

== newest row of a key
id: t.id I
b: t.b I
rows: t.d F, t.a F, t.id F
with r as (select *, row_number() over (partition by d order by a desc, id) as rn from raw.t) select id, b from r where rn = 1

== qualify
id: t.id I
b: t.b I
rows: t.id F, t.a F, t.d F
select id, b from raw.t qualify row_number() over (partition by d order by a, id) = 1

== qualify by alias
id: t.id I
rn: t.a W, t.id W
rows: t.a F, t.id F
select id, row_number() over (order by a, id) as rn from raw.t qualify rn <= 3

== lag
id: t.id I
before: t.a T, t.d W, t.id W
delta: t.a T, t.id W
select id, lag(a) over (partition by d order by id) as before, a - lag(a) over (order by id) as delta from raw.t

== sum of a sum over a window
a: t.a I
share: t.b A
rows: t.a G
select a, sum(b) * 1.0 / sum(sum(b)) over () as share from raw.t group by a

== grouped by ordinal
g: t.a T
sb: t.b A
n:
mc: t.c A, t.d C
rows: t.a G
select a % 3 as g, sum(b) as sb, count(*) as n, max(c) filter (where d > 3) as mc from raw.t group by 1

== group by all
g: t.a T
lb: t.b A, t.c S, t.id S
rows: t.a G
select a % 2 as g, list(b order by c, id) as lb from raw.t group by all

== group by hidden key
n: t.b A
rows: t.a G
select max(b) as n from raw.t group by a

== having
a: t.a I
n: t.b A
rows: t.a G, t.c F
select a, sum(b) as n from raw.t group by a having max(c) > 3

== having over an alias
a: t.a I
n: t.b A
rows: t.a G, t.b F
select a, sum(b) as n from raw.t group by a having n > 3

== rollup
a: t.a I
d: t.d I
n: t.b A
rows: t.a G, t.d G
select a, d, sum(b) as n from raw.t group by rollup (a, d)

== grouping sets
a: t.a I
d: t.d I
n:
rows: t.a G, t.d G
select a, d, count(*) as n from raw.t group by grouping sets ((a), (d), ())

== distinct
k: t.a T
rows: t.b F, t.c F, t.a G
select distinct a % 5 as k from raw.t where b > c

== distinct on
d: t.d I
a: t.a I
rows: t.d G, t.d S, t.b S, t.id S
select distinct on (d) d, a from raw.t order by d, b, id

== max by
d: t.d I
best: t.a A, t.b A
rows: t.d G
select d, arg_max(a, b) as best from raw.t group by d

== case
v: t.a C, t.b T, t.c T
select case when a > 3 then b else c end as v from raw.t

== case with an operand
v: t.a C, t.b T
select case a when 1 then b when 2 then 5 end as v from raw.t

== case with literals only
v: t.a C
select case when a > 3 then 'high' else 'low' end as v from raw.t

== if and nullif
v: t.a C, t.b T, t.c T
w: t.a T, t.b C
select if(a > 3, b, c) as v, nullif(a, b) as w from raw.t

== coalesce of a full join
k: t.id T, u.y T
a: t.a I
x: u.x I
rows: t.id J, u.y J
select coalesce(t.id, u.y) as k, a, x from raw.t full join raw.u on t.id = u.y

== scalar subquery
id: t.id I
mx: u.x A
select id, (select max(x) from raw.u) as mx from raw.t

== correlated subquery
id: t.id I
mx: u.x A, u.id F, t.a F
select id, (select max(x) from raw.u where u.id = t.a) as mx from raw.t

== correlated by a bare name
id: t.id I
n: u.z F, t.d F
select id, (select count(*) from raw.u where z = d) as n from raw.t

== exists
id: t.id I
a: t.a I
rows: u.id F, t.id F, u.x F, t.b F
select id, a from raw.t where exists (select 1 from raw.u where u.id = t.id and u.x > t.b)

== not exists with a star
id: t.id I
rows: u.y F, t.a F
select id from raw.t where not exists (select * from raw.u where u.y = t.a)

== in a subquery
a: t.a I
rows: t.id F, u.id F, u.y F
select a from raw.t where id in (select id from raw.u where y > 3)

== in, as a column
id: t.id I
hit: t.a T, u.x T
select id, a in (select x from raw.u) as hit from raw.t

== compared with any
id: t.id I
rows: t.a F, u.x F
select id from raw.t where a > any (select x from raw.u)

== pair in a subquery
id: t.id I
rows: t.a F, t.b F, u.x F, u.y F
select id from raw.t where (a, b) in (select x, y from raw.u)

== lateral alias
k: t.a T
k2: t.a T
select a + 1 as k, k * 2 as k2 from raw.t

== lateral alias hidden by a column
b: t.a T
w: t.b T
select a + 1 as b, b * 2 as w from raw.t

== where over an alias
k: t.a T, t.b T
rows: t.a F, t.b F
select a + b as k from raw.t where k > 5

== swapped names
a: t.b I
b: t.a I
with q as (select a as b, b as a from raw.t) select a, b from q

== order by an alias that hides a column
b: t.a T
rows: t.a S, t.id S
select a + 1 as b from raw.t order by b, t.id limit 3

== order without limit
a: t.a I
select a from raw.t order by b

== limit in a subquery
a: t.a I
rows: t.b S, t.id S
select a from (select a from raw.t order by b, id limit 5) q

== limit and offset
a: t.a I
rows: t.c S, t.id S
select a from raw.t order by c, id limit 5 offset 2

== values
k:
a: t.a I
rows: t.id J
select l.k, t.a from raw.t join (values (1, 2), (3, 4)) l(k, j) on t.id = l.k

== unnest in the select list
id: t.id I
v: t.a T, t.b T
select id, unnest([a, b]) as v from raw.t

== unnest in from
id: t.id I
e: t.a T, t.c T
select t.id, l.e from raw.t, unnest([t.a, t.c]) as l(e)

== unnest of an aggregate
d: t.d I
item: t.a A
rows: t.d G
select q.d, l.item from (select d, list(a) as items from raw.t group by d) q, unnest(q.items) as l(item)

== lateral join
id: t.id I
m: t.a T, u.x A
rows: u.y F, t.b F
select t.id, l.m from raw.t, lateral (select t.a + max(u.x) as m from raw.u where u.y > t.b) l

== struct fields
p1: t.a T
q: t.b I
select st.p + 1 as p1, st.q from (select {'p': a, 'q': b} as st from raw.t)

== struct through a star
q: t.b T
select r.st.q + 1 as q from (select * from (select id, {'p': a, 'q': b} as st from raw.t)) r

== pivot
g: t.d T
k0: t.c A, t.a C
k1: t.c A, t.a C
rows: t.d G
select * from (select d % 4 as g, a % 3 as k, c from raw.t) pivot (sum(c) for k in (0 as k0, 1 as k1))

== unpivot
id: t.id I
nm:
val: t.a T, t.b T
rows: t.a F, t.b F
select * from (select id, a, b from raw.t) unpivot (val for nm in (a, b))

== recursive counter
n:
v: t.a A
with recursive r(n, v) as (select 1, (select max(a) from raw.t) union all select n + 1, v + 1 from r where n < 4) select n, v from r

== recursive walk
root: u.id I
node: u.id I, u.x I
rows: u.x J, u.id J
with recursive w as (select id as root, id as node, 1 as d from raw.u union all select w.root, u.x, w.d + 1 from w join raw.u on u.id = w.node where w.d < 4) select root, node from w

== nested aggregates
k: t.a T
m: t.b A, t.c A
rows: t.d F, t.a G, t.b F, t.c F
select o.k, o.m from (select i.k, max(i.v) as m from (select a % 4 as k, b + c as v from raw.t where d > 2) i group by i.k) o where o.m > 6

== several ctes and using
v: t.a T, u.x T
rows: t.id J, u.id J
with a as (select id, a as v from raw.t), b as (select id, x as v from raw.u), c as (select a.id, a.v + b.v as v from a join b using (id)) select v from c

== cte over a cte of its own name in another schema
id: t.id I
a: t.a T
with t as (select id, a + 1 as a from raw.t) select id, a from t

== cte in a subquery hides one outside
p: u.x I
q: t.a I
with c as (select a as v from raw.t) select i.p, c.v as q from c, (with c as (select x as p from raw.u) select p from c) i

== self join
a: t.a I
qb: t.b I
rows: t.id J, t.c J
select p.a, q.b as qb from raw.t p join raw.t q on p.id = q.c

== intersect
a: t.a I
rows: t.a F, t.b F
select a from raw.t intersect select b from raw.t

== except all
a: t.a I
rows: t.a F, u.x F
select a from raw.t except all select x from raw.u

== count of filtered rows
n:
rows: t.a F, t.b F
select count(*) as n from raw.t where a > b

== json
k: t.a T
select (('{"k":' || a || '}')::json ->> 'k')::int as k from raw.t

== quoted names
Group Key: t.a I
order: t.b T
select q."Group Key", q."order" + 1 as "order" from (select a as "Group Key", b as "order" from raw.t) q

== names from outside
x: t.b I
y: t.a I
select q.x, q.y from (select a, b from raw.t) q(y, x)

== cte with names
x: t.a I
y: t.b T
with q(x, y) as (select a, b + 1 from raw.t) select x, y from q

== asof join
id: t.id I
x: u.x I
rows: t.a J, u.y J
select t.id, u.x from raw.t asof join raw.u on t.a >= u.y

== lambda
w: t.a T, t.b T, t.c T
select list_transform([a, b], lambda e: e + c) as w from raw.t

== list comprehension
w: t.a T, t.b T
select [e * 2 for e in [a, b]] as w from raw.t

== columns expression over a star
a: t.a A
b: t.b A
select max(columns(*)) from (select a, b from raw.t) q

== filter in a window
id: t.id I
n: t.a A, t.b C, t.id W
select id, sum(a) filter (where b > 3) over (order by id) as n from raw.t

== named window
id: t.id I
n: t.a A, t.d W, t.id W
select id, sum(a) over w as n from raw.t window w as (partition by d order by id)

== window in an order
id: t.id I
rows: t.a S, t.d S, t.id S
select id from raw.t order by sum(a) over (partition by d), id limit 3

== union in a subquery in a join
id: t.id I
e: u.x I, v.m I
rows: t.id J, u.id J, v.k J
select t.id, q.e from raw.t join (select id, x as e from raw.u union all select k, m from raw.v) q on q.id = t.id

== from first
a: t.a I
b: t.b I
rows: t.c F
from raw.t select a, b where c > 2

== positional join of filters
m: t.a A
w: u.x A
rows: t.b F
select q.m, (select min(x) from raw.u) as w from (select max(a) as m from raw.t where b > 1) q

== string aggregate
d: t.d I
names: t.s A, t.id S
rows: t.d G
select d, string_agg(s, ',' order by id) as names from raw.t group by d

== quantile within group
d: t.d I
mid: t.a A
rows: t.d G
select d, quantile_cont(a, 0.5) as mid from raw.t group by d

== boolean logic
f: t.a T, t.b T, t.s T
select a > 3 and (b is null or s like 'a%') as f from raw.t

== group by an alias that hides no column
k: t.a T, t.b T
n:
rows: t.a G, t.b G
select a + b as k, count(*) as n from raw.t group by k

== cross join of totals
id: t.id I
part: t.a T, t.b A
select t.id, t.a / q.total as part from raw.t cross join (select nullif(sum(b), 0) as total from raw.t) q
