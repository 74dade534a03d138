demo: ; @echo later
