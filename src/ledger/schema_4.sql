-- Version 4: nothing of its own.
SELECT 1;
