"""The fast way through chat lines (`{"messages": [{"role": …, "content": …}]}`): one compiled look at each line.

What it cannot vouch for goes through `datasets_app.reading` as ever, so reports are the same with and without it,
only sooner. Optional: `library.load()` gives None where there is no compiled scanner. No Django inside.
"""
