# What people read, in English. Every message here must exist in each other language too.

subject-firing = { $what }
subject-firing-more = { $what } (+{ $more } more)
subject-resolved = Resolved: { $what }
subject-resolved-more = Resolved: { $what } (+{ $more } more)
subject-repeat = Still: { $what }
subject-repeat-more = Still: { $what } (+{ $more } more)
subject-acknowledged = Known: { $what }
subject-acknowledged-more = Known: { $what } (+{ $more } more)

lead-firing = Since { $since }, for { $duration }.
lead-firing-value = Since { $since }, for { $duration }. Value: { $value }.
lead-new = Since { $since }.
lead-new-value = Since { $since }. Value: { $value }.
lead-over = Over since { $until }.
lead-resolved = Over after { $duration }: { $since } to { $until }.

head-mixed = { $service }: { $firing ->
    [one] one alert
   *[other] { $firing } alerts
} now, { $resolved ->
    [one] one is over
   *[other] { $resolved } are over
}.
head-firing = { $service }: { $firing } alerts now.
head-resolved = { $service }: all { $resolved } alerts are over.

item-resolved = Over: { $what }
more-alerts = { $count ->
    [one] One more alert is not listed here.
   *[other] { $count } more alerts are not listed here.
}

where = Where: { $place }
comes-and-goes = This comes and goes. Its end is told only after ten quiet minutes.
also-told = Also told: { $names }
nobody-else = Nobody else has been told.
class-1 = Class 1: stops operation.
class-2 = Class 2: hinders operation.
class-3 = Class 3: a light fault.
class-4 = Class 4: not critical.
what-to-do = What to do: { $link }
details = Details: { $link }
react-by = Reaction due by { $instant }.
react-by-passed = Reaction was due by { $instant }; nobody has said yet that they know.
take-over = I take care of it: { $link }
picture = What it looked like: { $what }
templates-broken = Templates of your own are broken ({ $names }); the shipped texts stand in their place.
why-fallback = You get this here because the way before it could not be reached.
why-acknowledged = { $name } knows of it.
why-claimed = { $name } has it.
why-digest = This was held back until now, because it was outside the times in which you want messages.
why-repeat = A reminder: nothing has changed.
footer = { $instance } to { $receiver }

fallback-summary = { $name } is firing
fallback-summary-target = { $name }: { $target }

duration-days = { $count ->
    [one] 1 day
   *[other] { $count } days
}
duration-hours = { $count ->
    [one] 1 hour
   *[other] { $count } hours
}
duration-minutes = { $count ->
    [one] 1 minute
   *[other] { $count } minutes
}
duration-seconds = { $count ->
    [one] 1 second
   *[other] { $count } seconds
}
weekday-1 = Mon
weekday-2 = Tue
weekday-3 = Wed
weekday-4 = Thu
weekday-5 = Fri
weekday-6 = Sat
weekday-7 = Sun
instant = { $weekday } { $year }-{ $month }-{ $day }, { $time } ({ $offset })
clock = { $time }

month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December

level-title = { $service }, { $month } { $year }: availability by the promise “{ $promise }”
level-so-far = { $service }, { $month } { $year } until { $until }: availability by the promise “{ $promise }”
level-kept = kept
level-broken = NOT KEPT
level-not-known = cannot be said
level-open = within the promise so far
level-promised = Promised { $part }
level-available = available { $part }
level-nothing-yet = none of this time has passed
level-between = available between { $least } and { $most }
level-passed = { $length } in all
level-counted = { $length } down
level-not-counted = { $length } down that does not count
level-unknown = { $length } not known
level-left = { $length } left this month
level-outages = Outages
level-no-outages = No outages.
level-counts = counts
level-counts-not = does not count
level-many-that-day = shorter than { $below }, but { $count } such outages that day
level-many-that-week = shorter than { $below }, but { $count } such outages that week
level-beyond-planned = planned work beyond the hours of a month
level-announced-late = planned work that was not announced in time
level-outside = no promise holds at that time
level-short = shorter than { $below }
level-planned = planned and announced work
level-force-majeure = force majeure
level-by-customer = ordered by the customer
