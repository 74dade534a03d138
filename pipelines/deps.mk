# What Debian 12 must have installed, and the target that installs it.

PACKAGES = gcc libc6-dev pkg-config libvips-dev libdeflate-dev libdnnl-dev \
           libopenmpi-dev openmpi-bin gnuplot-nox
PACKAGES_CHECK = check zlib1g-dev mandoc procps g++ strace dcmtk

# Installs only what is missing, and only when it may (root, or sudo).
deps:
	@missing=$$(for p in $(PACKAGES) $(PACKAGES_CHECK); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | \
	        grep -q 'ok installed$$' || echo $$p; \
	    done); \
	[ -n "$$missing" ] || exit 0; \
	echo "installing:" $$missing; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -q && \
	$$sudo env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qy --no-install-recommends $$missing
