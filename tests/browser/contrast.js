// Texts among the elements of a selector whose contrast is less than WCAG 2.2 asks for (1.4.3): 4.5 to 1, of large ones 3 to 1.
(selector) => {
    const channels = (color) => color.match(/[\d.]+/g).map(Number);
    const luminance = (color) =>
        channels(color)
            .slice(0, 3)
            .map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
            .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if (channels(color)[3] !== 0) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const isLarge = (style) =>
        parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.5 && style.fontWeight >= 700);
    return [...document.querySelectorAll(selector)]
        .filter((element) => hasText(element) && element.checkVisibility({ visibilityProperty: true }))
        .map((element) => {
            const style = getComputedStyle(element);
            const [dark, light] = [luminance(style.color), luminance(behind(element))].sort((a, b) => a - b);
            return { element, ratio: (light + 0.05) / (dark + 0.05), least: isLarge(style) ? 3 : 4.5 };
        })
        .filter(({ ratio, least }) => ratio < least)
        .map(({ element, ratio }) => `${ratio.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
}
