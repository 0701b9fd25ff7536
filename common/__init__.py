"""What every part uses: settings, command line, registries, errors, files, devices. It knows nothing of faces."""
