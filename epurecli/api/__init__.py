"""The application: what notebooks, scripts and the command line stand on. `import epurecli` shows its face."""
