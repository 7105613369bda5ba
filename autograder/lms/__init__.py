"""To and from a learning management system: what it hands out, who its students are, and its own sheets of marks.

    sheets.py       a CSV file as the system exports it, which can be written back as it was but for filled cells
    people.py       who is in a sheet, and by which names the system knows them
    times.py        when something was handed in, as a system writes it
    downloads.py    archives unpacked without harm, and whose each file in them is
    wanted.py       which notebook a file is
    plan.py         what of all that was downloaded counts for each student
    collect.py      from there to the course's folders, gradebook and record, with a table of everything that came in
    entering.py     marks into a sheet
    returning.py    feedback under the names of the download

What each system writes, and where that is said, stands in docs/lms.md; what each takes back, in
docs/returning.md.
"""
