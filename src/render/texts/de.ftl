# Was Menschen lesen, auf Deutsch. Jede Nachricht hier muss es auch in jeder anderen Sprache geben.

subject-firing = { $what }
subject-firing-more = { $what } (+{ $more } weitere)
subject-resolved = Behoben: { $what }
subject-resolved-more = Behoben: { $what } (+{ $more } weitere)
subject-repeat = Weiterhin: { $what }
subject-repeat-more = Weiterhin: { $what } (+{ $more } weitere)
subject-acknowledged = Bekannt: { $what }
subject-acknowledged-more = Bekannt: { $what } (+{ $more } weitere)

lead-firing = Seit { $since }, seit { $duration }.
lead-firing-value = Seit { $since }, seit { $duration }. Wert: { $value }.
lead-new = Seit { $since }.
lead-new-value = Seit { $since }. Wert: { $value }.
lead-over = Vorbei seit { $until }.
lead-resolved = Nach { $duration } vorbei: { $since } bis { $until }.

head-mixed = { $service }: { $firing ->
    [one] eine Störung
   *[other] { $firing } Störungen
}, { $resolved ->
    [one] eine ist behoben
   *[other] { $resolved } sind behoben
}.
head-firing = { $service }: { $firing } Störungen.
head-resolved = { $service }: Alle { $resolved } Störungen sind behoben.

item-resolved = Behoben: { $what }
more-alerts = { $count ->
    [one] Eine weitere Störung ist hier nicht aufgeführt.
   *[other] { $count } weitere Störungen sind hier nicht aufgeführt.
}

where = Wo: { $place }
comes-and-goes = Das kommt und geht. Das Ende wird erst gemeldet, wenn zehn Minuten lang Ruhe war.
also-told = Auch benachrichtigt: { $names }
nobody-else = Sonst ist niemand benachrichtigt.
class-1 = Klasse 1: betriebsverhindernd.
class-2 = Klasse 2: betriebsbehindernd.
class-3 = Klasse 3: leichter Fehler.
class-4 = Klasse 4: unkritisch.
what-to-do = Was tun: { $link }
details = Einzelheiten: { $link }
react-by = Reaktion fällig bis { $instant }.
react-by-passed = Die Reaktion war bis { $instant } fällig; noch hat sich niemand gemeldet.
take-over = Ich kümmere mich darum: { $link }
picture = Verlauf: { $what }
templates-broken = Eigene Textvorlagen sind fehlerhaft ({ $names }); an ihrer Stelle stehen die mitgelieferten Texte.
why-fallback = Diese Nachricht kommt auf diesem Weg, weil der vorige nicht erreichbar war.
why-acknowledged = { $name } weiß Bescheid.
why-claimed = { $name } kümmert sich darum.
why-digest = Das wurde bis jetzt zurückgehalten, weil es außerhalb der Zeiten lag, in denen du Nachrichten möchtest.
why-repeat = Zur Erinnerung: Es hat sich nichts geändert.
footer = { $instance } an { $receiver }

fallback-summary = { $name } ist aktiv
fallback-summary-target = { $name }: { $target }

duration-days = { $count ->
    [one] 1 Tag
   *[other] { $count } Tagen
}
duration-hours = { $count ->
    [one] 1 Stunde
   *[other] { $count } Stunden
}
duration-minutes = { $count ->
    [one] 1 Minute
   *[other] { $count } Minuten
}
duration-seconds = { $count ->
    [one] 1 Sekunde
   *[other] { $count } Sekunden
}
weekday-1 = Mo.
weekday-2 = Di.
weekday-3 = Mi.
weekday-4 = Do.
weekday-5 = Fr.
weekday-6 = Sa.
weekday-7 = So.
instant = { $weekday } { $day }.{ $month }.{ $year }, { $time } Uhr ({ $offset })
clock = { $time } Uhr

month-1 = Januar
month-2 = Februar
month-3 = März
month-4 = April
month-5 = Mai
month-6 = Juni
month-7 = Juli
month-8 = August
month-9 = September
month-10 = Oktober
month-11 = November
month-12 = Dezember

level-title = { $service }, { $month } { $year }: Verfügbarkeit nach der Zusage „{ $promise }“
level-so-far = { $service }, { $month } { $year } bis { $until }: Verfügbarkeit nach der Zusage „{ $promise }“
level-kept = eingehalten
level-broken = NICHT EINGEHALTEN
level-not-known = nicht feststellbar
level-open = bisher im Rahmen
level-promised = Zugesagt { $part }
level-available = verfügbar { $part }
level-nothing-yet = von dieser Zeit ist noch nichts vergangen
level-between = verfügbar zwischen { $least } und { $most }
level-passed = { $length } insgesamt
level-counted = { $length } Ausfall
level-not-counted = { $length } Ausfall, der nicht zählt
level-unknown = { $length } unbekannt
level-left = { $length } bleiben in diesem Monat
level-outages = Ausfälle
level-no-outages = Keine Ausfälle.
level-counts = zählt
level-counts-not = zählt nicht
level-many-that-day = kürzer als { $below }, aber { $count } solche Ausfälle an diesem Tag
level-many-that-week = kürzer als { $below }, aber { $count } solche Ausfälle in dieser Woche
level-beyond-planned = geplante Arbeiten über die Stunden eines Monats hinaus
level-announced-late = geplante Arbeiten, nicht rechtzeitig angekündigt
level-outside = zu dieser Zeit gilt keine Zusage
level-short = kürzer als { $below }
level-planned = geplante und angekündigte Arbeiten
level-force-majeure = höhere Gewalt
level-by-customer = vom Kunden veranlasst
