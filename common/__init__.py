"""What every part uses: settings, command line, registries, errors, files, devices. It knows nothing of faces."""

import os

# Threads that wait for work should sleep. OpenMP's default is to spin, which beside a busy process makes two threads ten
# times slower than one: each waits, at full load, for one that the other process has put aside. It is read when the tensor
# library is loaded, so it is set here, before any module of this project can load it; results do not depend on it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
