"""Outlines of designs for CAD: from a map of owners to polygons whose borders fit, and to SVG, DXF and GeoJSON.

`drawing.draw` makes a drawing, `svg.document`, `dxf.document` and `geojson.document` write one down. Polygons need
shapely and DXF needs ezdxf, both in the extra `cad`, imported when they are used.
"""
