"""Many runs that are one experiment: a folder of run directories that can be continued, added up and moved."""
