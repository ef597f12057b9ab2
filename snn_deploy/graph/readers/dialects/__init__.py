"""Who wrote a NIR file, and what they mean by it: ``--from``. One file per framework."""
