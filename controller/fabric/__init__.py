"""The conductor of a fabric's gangs: `ringfenced fabric`, one process for each fabric."""
